package adam

// Stochastic rounding takes bits of a word, a hash of the place of the element in its tensor, keyed
// by tensor, step and tile:
//
//	key  = mix(seed ^ fnv1a64(name))          of a tensor, when it is new
//	K    = mix(key + t)                       of its step t
//	k    = mix(K + i/8192)                    k0 and k1 are its lower and its upper half
//	w    = (i mod 8192)·0x9e3779b1 + k0       modulo 2^32, as all that follows
//	w    = (w ^ w>>16)·0x7feb352d
//	w    = ((w ^ w>>15) + k1)·0x846ca68b
//	word = w ^ w>>16
const (
	wordStep = 0x9e3779b1
	wordMul1 = 0x7feb352d
	wordMul2 = 0x846ca68b
)

// mix is the output function of splitmix64 (Steele, Lea & Flood 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// keyOf returns the key of a new tensor.
func keyOf(seed uint64, name string) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mix(seed ^ h)
}

// words are those of elements that follow each other in one tile of a tensor.
type words struct {
	next uint32 // (i mod 8192)·wordStep + k0 of the first one
	k1   uint32
}

// wordsAt returns the words of the elements from i on, for step t of a tensor.
func wordsAt(key, t, i uint64) words {
	k := mix(mix(key+t) + i/tile)
	return words{uint32(i%tile)*wordStep + uint32(k), uint32(k >> 32)}
}

// from returns the words from the element n on.
func (w words) from(n int) words { return words{w.next + uint32(n)*wordStep, w.k1} }

// at returns the word of the element n.
func (w words) at(n int) uint32 {
	x := w.next + uint32(n)*wordStep
	x = (x ^ x>>16) * wordMul1
	x = ((x ^ x>>15) + w.k1) * wordMul2
	return x ^ x>>16
}
