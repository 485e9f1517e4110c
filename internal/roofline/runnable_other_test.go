//go:build !amd64

package roofline

import (
	"maps"
	"slices"
)

func runnable() []string { return append(slices.Collect(maps.Keys(widths)), "generic") }
