package adam

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePages asks the system to back a large block that has not been touched yet with huge pages. Where it
// does not, all goes on as before.
func hugePages(block []float32) {
	const huge = 2 << 20
	if 4*len(block) < 4*huge || os.Getenv("ADAM_HUGEPAGES") == "off" {
		return
	}
	memory := unsafe.Slice((*byte)(unsafe.Pointer(&block[0])), 4*len(block))
	before := int(-uintptr(unsafe.Pointer(&block[0])) % huge)
	memory = memory[before : before+(len(memory)-before)/huge*huge]
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE)
}
