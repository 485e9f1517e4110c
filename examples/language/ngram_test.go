package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// "abab" and then a or b, by hand: an alphabet of 3, the third character never seen.
func TestNgram(t *testing.T) {
	const a, b, c = 0, 1, 2
	m := newNgram(2, 3, []int{a, b, a, b})
	// Below the empty context: 4 characters of 2 kinds, 2 of each; uniform 1/3.
	pa, pc := (2+2./3)/6, (2./3)/6
	for _, test := range []struct {
		before []int
		id     int
		want   float64
	}{
		{nil, a, pa}, {nil, b, pa}, {nil, c, pc},
		{[]int{a}, b, (2 + pa) / 3}, {[]int{a}, a, pa / 3}, {[]int{a}, c, pc / 3}, // a: twice b
		// b: once a; what lies further back does not count
		{[]int{b}, a, (1 + pa) / 2}, {[]int{a, b}, a, (1 + pa) / 2},
		{[]int{c}, a, pa}, // never seen
	} {
		if got := m.probability(test.before, test.id); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("p(%d after %v) = %v, want %v", test.id, test.before, got, test.want)
		}
	}
	if got, want := m.bits([]int{a, b, a}, 1),
		-(math.Log2((2+pa)/3)+math.Log2((1+pa)/2))/2; math.Abs(got-want) > 1e-12 {
		t.Errorf("%v bits, want %v", got, want)
	}
}

// After any context the probabilities of the alphabet add up to 1, and none is 0.
func TestNgramIsDistribution(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	ids := make([]int, 300)
	for i := range ids {
		ids[i] = min(rng.IntN(5), rng.IntN(5)) // of an alphabet of 6
	}
	m := newNgram(5, 6, ids)
	for range 200 {
		before := make([]int, rng.IntN(7))
		for i := range before {
			before[i] = rng.IntN(6)
		}
		sum := 0.0
		for id := range 6 {
			p := m.probability(before, id)
			if !(p > 0) {
				t.Errorf("p(%d after %v) = %v", id, before, p)
			}
			sum += p
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Errorf("after %v the probabilities add up to %v", before, sum)
		}
	}
}
