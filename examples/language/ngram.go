package main

import "math"

// ngram is the model to beat: it predicts a character from the n-1 before it by counts, with the
// interpolation of Witten and Bell (1991). Where a context has been seen N times, with K different
// characters after it, of which c came N(c) times,
//
//	p(c | context) = (N(c) + K·p(c | context without its first character)) / (N + K)
//
// A context never seen has the probabilities of the shorter one; below the empty context all
// characters of the alphabet are equally probable.
type ngram struct {
	n, alphabet int
	root        *node
}

// node is what came after some characters.
type node struct {
	total  int
	counts map[int]int
	longer map[int]*node // by the character before
}

// newNgram counts the characters of ids, which are less than alphabet.
func newNgram(n, alphabet int, ids []int) *ngram {
	m := &ngram{n: n, alphabet: alphabet, root: newNode()}
	for i, id := range ids {
		c := m.root
		c.count(id)
		for j := i - 1; j >= max(0, i-n+1); j-- {
			next := c.longer[ids[j]]
			if next == nil {
				next = newNode()
				c.longer[ids[j]] = next
			}
			c = next
			c.count(id)
		}
	}
	return m
}

func newNode() *node {
	return &node{counts: map[int]int{}, longer: map[int]*node{}}
}

func (c *node) count(id int) {
	c.total++
	c.counts[id]++
}

// probability returns that of id after the characters before.
func (m *ngram) probability(before []int, id int) float64 {
	p := 1 / float64(m.alphabet)
	c := m.root
	for i := 0; c != nil && c.total > 0; i++ {
		kinds := float64(len(c.counts))
		p = (float64(c.counts[id]) + kinds*p) / (float64(c.total) + kinds)
		if i == len(before) {
			break
		}
		c = c.longer[before[len(before)-1-i]] // nil after n-1 characters
	}
	return p
}

// bits returns the mean over ids[begin:] of the bits that a character takes, -log₂ of its
// probability.
func (m *ngram) bits(ids []int, begin int) float64 {
	sum := 0.0
	for i := begin; i < len(ids); i++ {
		sum -= math.Log2(m.probability(ids[:i], ids[i]))
	}
	return sum / float64(len(ids)-begin)
}
