package main

import (
	"cmp"
	"image"
	"slices"
)

// box is a rectangle on the canvas, in pixels.
type box struct{ x0, y0, x1, y1 float64 }

func boxOf(r image.Rectangle) box {
	return box{float64(r.Min.X), float64(r.Min.Y), float64(r.Max.X), float64(r.Max.Y)}
}

func (b box) area() float64 { return (b.x1 - b.x0) * (b.y1 - b.y0) }

func (b box) intersection(c box) float64 {
	return max(0, min(b.x1, c.x1)-max(b.x0, c.x0)) * max(0, min(b.y1, c.y1)-max(b.y0, c.y0))
}

// iou is the intersection over the union of two boxes.
func (b box) iou(c box) float64 {
	both := b.intersection(c)
	return both / (b.area() + c.area() - both)
}

// detection is an object that the network claims to see, with the probability that it gives to
// that.
type detection struct {
	object
	score float64
}

// suppress is the greedy non-maximum suppression: it sorts detections by falling score and returns
// those that do not overlap by more than the given IoU with a better one that is kept. It does not
// look at classes, since one place of the canvas holds one digit.
func suppress(d []detection, iou float64) []detection {
	slices.SortStableFunc(d, func(a, b detection) int { return cmp.Compare(b.score, a.score) })
	var kept []detection
	for _, a := range d {
		if !slices.ContainsFunc(kept, func(b detection) bool { return a.iou(b.box) > iou }) {
			kept = append(kept, a)
		}
	}
	return kept
}

// averagePrecision returns the average precision of the detections of one class in many scenes,
// where found[i] and truth[i] are those of scene i: the area under the curve of precision over
// recall, in which each precision is the largest at that recall or a higher one (PASCAL VOC from
// 2010 on).
//
// By falling score over all scenes, of equal ones in the order of found, a detection is right if,
// of the truth of its scene, the object with the largest IoU has at least the given one and was not
// matched before. All others are wrong. Without any truth the result is NaN.
func averagePrecision(found [][]detection, truth [][]box, iou float64) float64 {
	type claim struct {
		detection
		scene int
	}
	var claims []claim
	objects := 0
	matched := make([][]bool, len(truth))
	for i := range truth {
		objects += len(truth[i])
		matched[i] = make([]bool, len(truth[i]))
		for _, d := range found[i] {
			claims = append(claims, claim{d, i})
		}
	}
	slices.SortStableFunc(claims, func(a, b claim) int { return cmp.Compare(b.score, a.score) })
	var precision []float64 // at each right claim, where recall rises by 1/objects
	for i, c := range claims {
		best, match := 0.0, -1
		for j, b := range truth[c.scene] {
			if u := c.iou(b); u > best {
				best, match = u, j
			}
		}
		if best >= iou && !matched[c.scene][match] {
			matched[c.scene][match] = true
			precision = append(precision, float64(len(precision)+1)/float64(i+1))
		}
	}
	area, top := 0.0, 0.0
	for _, p := range slices.Backward(precision) {
		top = max(top, p)
		area += top
	}
	return area / float64(objects)
}
