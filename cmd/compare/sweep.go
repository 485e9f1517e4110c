package main

import "math"

// rate returns 10^(k/2) with one digit: 0.1, 0.3, 1, 3, 10, …
func rate(k int) float64 {
	tens := int(math.Floor(float64(k) / 2))
	digit := float64(1 + 2*(k-2*tens))
	if tens < 0 {
		return digit / math.Pow10(-tens)
	}
	return digit * math.Pow10(tens)
}

// sweep returns the k with the smallest loss; a loss of +Inf is none. It tries n of them around the
// middle. As long as the best is the first or the last it goes on in that direction, by at most so
// many more.
func sweep(middle, n, more int, loss func(k int) (float64, error)) (best int, err error) {
	first, last := middle-n/2, middle-n/2-1
	least := math.Inf(1)
	best = first
	try := func(k int) error {
		l, err := loss(k)
		if l < least || math.IsInf(least, 1) && k < best {
			best, least = k, l
		}
		return err
	}
	for last < first+n-1 {
		last++
		if err := try(last); err != nil {
			return 0, err
		}
	}
	for range more {
		if best == first {
			first--
			err = try(first)
		} else if best == last {
			last++
			err = try(last)
		}
		if err != nil {
			return 0, err
		}
	}
	return best, nil
}
