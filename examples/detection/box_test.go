package main

import (
	"math"
	"slices"
	"testing"
)

func TestIoU(t *testing.T) {
	b := box{1, 2, 5, 4} // area 8
	for _, test := range []struct {
		name string
		c    box
		want float64
	}{
		{"the same", b, 1},
		{"shifted by half", box{3, 2, 7, 4}, 4.0 / 12},
		{"within", box{2, 2, 4, 3}, 2.0 / 8},
		{"around", box{0, 0, 8, 8}, 8.0 / 64},
		{"corner", box{4, 3, 6, 7}, 1.0 / 15},
		{"beside", box{5, 2, 9, 4}, 0},
		{"apart in both", box{7, 7, 9, 9}, 0},
		{"apart in x", box{7, 2, 9, 4}, 0},
		{"apart in y", box{1, 7, 5, 9}, 0},
	} {
		if got := b.iou(test.c); math.Abs(got-test.want) > 1e-15 {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
		if got := test.c.iou(b); math.Abs(got-test.want) > 1e-15 {
			t.Errorf("%s, the other way: %v, want %v", test.name, got, test.want)
		}
	}
}

// at returns a detection of a box of 10 × 10 whose left edge is at x: two of them d apart have an
// IoU of (10-d)/(10+d).
func at(x, score float64, class int) detection {
	return detection{object{box{x, 0, x + 10, 10}, class}, score}
}

func TestSuppress(t *testing.T) {
	for _, test := range []struct {
		name        string
		found, want []detection
	}{
		{"none", nil, nil},
		{"sorted by score", []detection{at(0, 0.3, 1), at(20, 0.9, 2)},
			[]detection{at(20, 0.9, 2), at(0, 0.3, 1)}},
		{"a duplicate", []detection{at(0, 0.8, 1), at(1, 0.9, 1)}, []detection{at(1, 0.9, 1)}},
		{"of another class", []detection{at(0, 0.8, 1), at(1, 0.9, 2)}, []detection{at(1, 0.9, 2)}},
		// 7.5/12.5
		{"just as much as allowed", []detection{at(0, 0.8, 1), at(2.5, 0.9, 1)},
			[]detection{at(2.5, 0.9, 1), at(0, 0.8, 1)}},
		{"a little more", []detection{at(0, 0.8, 1), at(2.25, 0.9, 1)},
			[]detection{at(2.25, 0.9, 1)}},
		{"equal scores keep their order", []detection{at(0, 0.5, 1), at(20, 0.5, 2), at(1, 0.5, 3)},
			[]detection{at(0, 0.5, 1), at(20, 0.5, 2)}},
		// The one in the middle suppresses the last, which only overlaps with it; suppressed
		// itself, it does not.
		{"what is suppressed suppresses nothing", []detection{at(0, 0.9, 1), at(2, 0.8, 1),
			at(4, 0.7, 1)}, []detection{at(0, 0.9, 1), at(4, 0.7, 1)}},
	} {
		if got := suppress(slices.Clone(test.found), 0.6); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestAveragePrecision(t *testing.T) {
	boxes := func(xs ...float64) (b []box) {
		for _, x := range xs {
			b = append(b, at(x, 0, 0).box)
		}
		return b
	}
	for _, test := range []struct {
		name  string
		found [][]detection
		truth [][]box
		want  float64
	}{
		{"perfect", [][]detection{{at(0, 0.9, 0), at(20, 0.2, 0)}}, [][]box{boxes(0, 20)}, 1},
		{"nothing found", [][]detection{nil}, [][]box{boxes(0, 20)}, 0},
		{"nothing there", [][]detection{{at(0, 0.9, 0)}}, [][]box{nil}, math.NaN()},
		{"one missing", [][]detection{{at(0, 0.9, 0)}}, [][]box{boxes(0, 20)}, 1.0 / 2},
		{"wrong, then right", [][]detection{{at(40, 0.9, 0), at(0, 0.8, 0)}}, [][]box{boxes(0)},
			1.0 / 2},
		{"right, then wrong", [][]detection{{at(0, 0.9, 0), at(40, 0.8, 0)}}, [][]box{boxes(0)}, 1},
		{"a duplicate is wrong", [][]detection{{at(0, 0.9, 0), at(1, 0.8, 0), at(20, 0.7, 0)}},
			[][]box{boxes(0, 20)}, (1 + 2.0/3) / 2},
		// 3 apart: 7/13. 4 apart: 6/14.
		{"IoU above one half", [][]detection{{at(3, 0.9, 0)}}, [][]box{boxes(0)}, 1},
		{"IoU below one half", [][]detection{{at(4, 0.9, 0)}}, [][]box{boxes(0)}, 0},
		{"IoU of one half", [][]detection{{{object{box{0, 0, 10, 5}, 0}, 0.9}}}, [][]box{boxes(0)},
			1},
		// Each goes to its best truth, even where another would be free: the second, to 2, is
		// wrong.
		{"best truth only", [][]detection{{at(2, 0.9, 0), at(1.5, 0.8, 0)}}, [][]box{boxes(0, 2)},
			1.0 / 2},
		{"in the wrong scene", [][]detection{{at(20, 0.9, 0)}, nil}, [][]box{boxes(0), boxes(20)},
			0},
		// By score: right, wrong, right over both scenes. Precision 1 at recall 1/3, 2/3 at 2/3, 0
		// at 1.
		{"over scenes", [][]detection{{at(0, 0.9, 0), at(20, 0.5, 0)}, {at(40, 0.7, 0)}},
			[][]box{boxes(0, 20), boxes(0)}, (1 + 2.0/3) / 3},
		// Wrong, right, right: precision 1/2 at the first right claim is lifted to 2/3, that of the
		// second.
		{"precision is made monotone",
			[][]detection{{at(40, 0.9, 0), at(0, 0.8, 0), at(20, 0.7, 0)}}, [][]box{boxes(0, 20)},
			2.0 / 3},
		{"equal scores in the order of scenes", [][]detection{{at(0, 0.5, 0)}, {at(40, 0.5, 0)}},
			[][]box{boxes(0), nil}, 1},
		{"the other way", [][]detection{{at(40, 0.5, 0)}, {at(0, 0.5, 0)}}, [][]box{nil, boxes(0)},
			1.0 / 2},
	} {
		got := averagePrecision(test.found, test.truth, 0.5)
		if !(math.Abs(got-test.want) < 1e-15) && !(math.IsNaN(got) && math.IsNaN(test.want)) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// Another class at the right place finds nothing, and a class that does not occur does not count.
func TestPrecisions(t *testing.T) {
	scenes := []scene{{truth: []object{at(0, 0, 3).object, at(20, 0, 5).object}},
		{truth: []object{at(0, 0, 5).object}}}
	found := [][]detection{{at(0, 0.9, 3), at(20, 0.9, 4)}, {at(0, 0.8, 5)}}
	each, mean := precisions(scenes, found)
	for class, got := range each {
		want := math.NaN()
		switch class {
		case 3:
			want = 1
		case 5:
			want = 0.5
		}
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("class %d: %v, want %v", class, got, want)
		}
	}
	if mean != 0.75 {
		t.Errorf("mean %v, want 0.75", mean)
	}
}
