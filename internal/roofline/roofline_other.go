//go:build (!amd64 && !arm64) || !gc || purego || noasm

package roofline

// No ceiling in assembly: that of the generic kernel is in roofline.go.
var assembled []string

func traffic(kernel string, p, g, m, v *float32, n int, prefetch bool) {}
func arithmetic(kernel string, n int)                                  {}
func arithmetic64(kernel string, n int)                                {}
