//go:build !amd64

package roofline

func runnable() []string { return append(assembled[:len(assembled):len(assembled)], "generic") }
