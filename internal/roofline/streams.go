package roofline

import (
	"runtime"
	"unsafe"
)

// StreamBlock is the number of elements that [Way.Move] works in; it leaves out the remainder.
const StreamBlock = 64

// An Access is what a step does with a stream.
type Access int

const (
	Read Access = 1 + iota
	Write
	Both // reads and writes it, in place
)

// A Stream is a slice as the memory sees it: elements of 1, 2 or 4 bytes, read, written or both.
// The assembly knows its fields.
type Stream struct {
	at     unsafe.Pointer
	bytes  int // of an element: as many cache lines are a block
	access Access
}

// StreamOf returns the stream of a slice.
func StreamOf[E int8 | int16 | ~uint16 | float32](s []E, a Access) Stream {
	return Stream{unsafe.Pointer(unsafe.SliceData(s)), int(unsafe.Sizeof(*new(E))), a}
}

// Bytes returns what a step moves of an element.
func (s Stream) Bytes() int {
	if s.access == Both {
		return 2 * s.bytes
	}
	return s.bytes
}

// Move is Traffic of any storage: it makes the memory accesses of a step whose slices are streams
// of n elements each. What it computes is the complement of the streams that are read and written:
// called twice, it restores them. A stream that is only written gets ones.
func (w Way) Move(streams []Stream, n int) {
	n &^= StreamBlock - 1
	if n == 0 || len(streams) == 0 {
		return
	}
	if w.bits > 0 {
		w.move(&streams[0], len(streams), n)
		return
	}
	for i := 0; i < n; i += StreamBlock {
		for _, s := range streams {
			words := unsafe.Slice((*uint64)(unsafe.Add(s.at, i*s.bytes)), StreamBlock/8*s.bytes)
			switch s.access {
			case Read:
				var sum uint64
				for _, x := range words {
					sum ^= x
				}
				runtime.KeepAlive(sum) // or the compiler leaves the loop out
			case Write:
				for j := range words {
					words[j] = ^uint64(0)
				}
			default:
				for j := range words {
					words[j] = ^words[j]
				}
			}
		}
	}
}
