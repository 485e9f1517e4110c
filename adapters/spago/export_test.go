package adamspago

// Share is for tests of steps that goroutines share, with few elements.
var Share = &share
