package machine

import "slices"

// generation is the CPUs of one microarchitecture, which names of CPUs do not tell apart: AMD EPYC
// may be Zen 1 to 5.
type generation struct {
	name   string
	vendor string // as CPUID has it
	family int
	models []span // nil: all that no line before has
}

type span struct{ from, to int }

func one(models ...int) (list []span) {
	for _, m := range models {
		list = append(list, span{m, m})
	}
	return list
}

const (
	amd   = "AuthenticAMD"
	hygon = "HygonGenuine"
	intel = "GenuineIntel"
)

// Families and models as CPUID has them. The first line that fits is taken.
var generations = []generation{
	{"Zen 2", amd, 23, []span{{0x30, 0x4f}, {0x60, 0x7f}, {0x84, 0x87}, {0x90, 0xaf}}},
	{"Zen", amd, 23, nil},
	{"Zen", hygon, 24, nil},
	{"Zen 4", amd, 25, []span{{0x10, 0x1f}, {0x60, 0x7f}, {0xa0, 0xaf}}},
	{"Zen 3", amd, 25, nil},
	{"Zen 5", amd, 26, []span{{0x00, 0x2f}, {0x40, 0x4f}, {0x60, 0x7f}}},

	{"Haswell", intel, 6, one(60, 63, 69, 70)},
	{"Broadwell", intel, 6, one(61, 71, 79, 86)},
	{"Skylake", intel, 6, one(78, 94, 142, 158, 165, 166)},
	{"Skylake-SP", intel, 6, one(85)}, // Cascade Lake and Cooper Lake are steppings of it
	{"Cannon Lake", intel, 6, one(102)},
	{"Ice Lake", intel, 6, one(106, 108, 125, 126)},
	{"Tiger Lake", intel, 6, one(140, 141)},
	{"Rocket Lake", intel, 6, one(167)},
	{"Alder Lake", intel, 6, one(151, 154)},
	{"Raptor Lake", intel, 6, one(183, 186, 191)},
	{"Meteor Lake", intel, 6, one(170, 172)},
	{"Lunar Lake", intel, 6, one(189)},
	{"Arrow Lake", intel, 6, one(181, 197, 198)},
	{"Sapphire Rapids", intel, 6, one(143)},
	{"Emerald Rapids", intel, 6, one(207)},
	{"Granite Rapids", intel, 6, one(173, 174)},
	{"Sierra Forest", intel, 6, one(175)},
}

// microarchitecture returns its name, "" if it is unknown.
func microarchitecture(vendor string, family, model int) string {
	for _, g := range generations {
		if g.vendor == vendor && g.family == family && (g.models == nil ||
			slices.ContainsFunc(g.models, func(s span) bool {
				return s.from <= model && model <= s.to
			})) {
			return g.name
		}
	}
	return ""
}
