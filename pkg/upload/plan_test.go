package upload_test

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

const mib = 1 << 20

func TestSplit(t *testing.T) {
	tests := []struct {
		name   string
		size   int64
		want   int64
		limits upload.Limits
		parts  int   // 0: an error
		first  int64 // size of the first part
		last   int64 // and of the last
		err    error
	}{
		{name: "empty", size: 0, parts: 1},
		{name: "one byte", size: 1, parts: 1, first: 1, last: 1},
		{name: "one part", size: 10, want: 10, parts: 1, first: 10, last: 10},
		{name: "one byte more", size: 11, want: 10, parts: 2, first: 10, last: 1},
		{name: "one byte less", size: 9, want: 10, parts: 1, first: 9, last: 9},
		{name: "several", size: 30, want: 10, parts: 3, first: 10, last: 10},
		{name: "the default", size: 200 * mib, parts: 4, first: 64 * mib, last: 8 * mib},
		{name: "a lower limit", size: 200 * mib, limits: upload.Limits{MinPart: 100 * mib}, parts: 2, first: 100 * mib, last: 100 * mib},
		{name: "an upper limit", size: 20 * mib, limits: upload.Limits{MaxPart: 5_000_000}, parts: 5, first: 5_000_000, last: 971520},
		{name: "few parts", size: 1000 * mib, limits: upload.Limits{MaxParts: 3}, parts: 3, first: 334 * mib, last: 332 * mib},
		{name: "few parts, not in whole MiB", size: 999, limits: upload.Limits{MaxParts: 3, MaxPart: 333}, parts: 3, first: 333, last: 333},
		{name: "as many as there may be", size: 10_000 * 64 * mib, limits: upload.Limits{MaxParts: 10_000}, parts: 10_000, first: 64 * mib, last: 64 * mib},
		{name: "a byte too many", size: 10_000*64*mib + 1, limits: upload.Limits{MaxParts: 10_000}, parts: 9847, first: 65 * mib, last: 10_000*64*mib + 1 - 9846*65*mib},
		{name: "no limit, and a huge file", size: 1 << 50, parts: 99_995, first: 10738 * mib, last: 1<<50 - 99_994*10738*mib},
		{name: "does not fit", size: 1000, limits: upload.Limits{MaxParts: 3, MaxPart: 333}, err: upload.ErrLimit},
		{name: "the largest file", size: math.MaxInt64, limits: upload.Limits{MaxParts: 1}, parts: 1, first: math.MaxInt64, last: math.MaxInt64},
		{name: "the largest file in two", size: math.MaxInt64, limits: upload.Limits{MaxParts: 2}, parts: 2, first: 1 << 62, last: 1<<62 - 1},
		{name: "asked for too little", size: 100, want: 4, limits: upload.Limits{MinPart: 5}, err: upload.ErrPartSize},
		{name: "asked for too much", size: 100, want: 6, limits: upload.Limits{MaxPart: 5}, err: upload.ErrPartSize},
		{name: "asked for too many", size: 100, want: 5, limits: upload.Limits{MaxParts: 19}, err: upload.ErrPartSize},
		{name: "asked for what no machine holds", size: 1 << 40, want: 1, err: upload.ErrPartSize},
		{name: "asked for less than nothing", size: 100, want: -1, err: upload.ErrPartSize},
		{name: "asked for everything", size: 100, want: math.MaxInt64, parts: 1, first: 100, last: 100},
		{name: "a multiple", size: 100, want: 24, limits: upload.Limits{Multiple: 8}, parts: 5, first: 24, last: 4},
		{name: "not a multiple", size: 100, want: 25, limits: upload.Limits{Multiple: 8}, parts: 4, first: 32, last: 4},
		{name: "less than a multiple", size: 100, want: 3, limits: upload.Limits{Multiple: 8}, parts: 13, first: 8, last: 4},
		{name: "not a multiple, and near the limit", size: 100, want: 29, limits: upload.Limits{Multiple: 8, MaxPart: 30}, parts: 5, first: 24, last: 4},
		{name: "the default is a multiple", size: 200 * mib, limits: upload.Limits{Multiple: 10 * mib}, parts: 3, first: 70 * mib, last: 60 * mib},
		{name: "no file", size: -1, err: upload.ErrLimit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			parts, err := upload.Split(test.size, test.want, test.limits)
			if test.err != nil {
				if !errors.Is(err, test.err) || parts != nil {
					t.Errorf("%d parts, error %v; want %v", len(parts), err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n := len(parts); n != test.parts || parts[0].Size != test.first || parts[n-1].Size != test.last || parts[0].Number != 1 || parts[n-1].Number != n {
				t.Errorf("%d parts, from %+v to %+v", n, parts[0], parts[n-1])
			}
			if err := upload.Tile(test.size, parts, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTile(t *testing.T) {
	type parts = []upload.Part
	type held = []upload.Range
	tests := []struct {
		name  string
		size  int64
		parts parts
		held  held
		bad   string // what the error says; empty: none
	}{
		{"nothing of nothing", 0, nil, nil, ""},
		{"one empty part", 0, parts{{1, 0, 0, ""}}, nil, ""},
		{"in order", 10, parts{{1, 0, 4, ""}, {2, 4, 6, ""}}, nil, ""},
		{"out of order, from 0", 10, parts{{1, 4, 6, ""}, {0, 0, 4, ""}}, nil, ""},
		{"with held ranges", 10, parts{{3, 6, 2, ""}, {2, 2, 2, ""}}, held{{8, 2}, {0, 2}, {4, 2}}, ""},
		{"all held", 10, nil, held{{0, 10}}, ""},
		{"the largest file", math.MaxInt64, parts{{1, 0, math.MaxInt64 - 1, ""}, {2, math.MaxInt64 - 1, 1, ""}}, nil, ""},
		{"nothing of something", 10, nil, nil, "ends at byte 0 of 10"},
		{"two empty parts", 0, parts{{1, 0, 0, ""}, {2, 0, 0, ""}}, nil, "part 1 is empty"},
		{"an empty part", 10, parts{{1, 0, 10, ""}, {2, 10, 0, ""}}, nil, "part 2 is empty"},
		{"an empty part somewhere", 0, parts{{1, 5, 0, ""}}, nil, "bytes 0 to 4"},
		{"a part twice", 10, parts{{1, 0, 5, ""}, {1, 5, 5, ""}}, nil, "part 1 is listed twice"},
		{"a gap", 10, parts{{1, 0, 4, ""}, {2, 5, 5, ""}}, nil, "bytes 4 to 4"},
		{"a gap at the start", 10, parts{{1, 1, 9, ""}}, nil, "bytes 0 to 0"},
		{"an overlap", 10, parts{{1, 0, 5, ""}, {2, 4, 6, ""}}, nil, "part 2 starts at byte 4"},
		{"the same range twice", 10, parts{{1, 0, 10, ""}, {2, 0, 10, ""}}, nil, "part 2 starts at byte 0"},
		{"an overlap with what is held", 10, parts{{1, 0, 10, ""}}, held{{5, 5}}, "a range it already has starts at byte 5"},
		{"too short", 10, parts{{1, 0, 9, ""}}, nil, "ends at byte 9 of 10"},
		{"too long", 10, parts{{1, 0, 11, ""}}, nil, "part 1 extends beyond"},
		{"beyond the end", 10, parts{{1, 0, 10, ""}, {2, 10, 1, ""}}, nil, "part 2 extends beyond"},
		{"a negative offset", 10, parts{{1, -1, 11, ""}}, nil, "part 1 is 11 bytes at byte -1"},
		{"a negative size", 10, parts{{1, 0, 10, ""}, {2, 10, -1, ""}}, nil, "part 2 is -1 bytes"},
		{"a sum that wraps", 10, parts{{1, 0, math.MaxInt64, ""}, {2, math.MaxInt64, math.MaxInt64, ""}}, nil, "beyond"},
		{"an end that wraps", math.MaxInt64, parts{{1, 0, 5, ""}, {2, 5, math.MaxInt64, ""}}, nil, "part 2 extends beyond"},
		{"parts for an empty file", 0, parts{{1, 0, 1, ""}}, nil, "beyond"},
		{"in another order than its numbers", 10, parts{{2, 0, 5, ""}, {1, 5, 5, ""}}, nil, "part 2 comes before part 1"},
		{"a file of less than nothing", -1, nil, nil, "ends at byte 0 of -1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := upload.Tile(test.size, test.parts, test.held)
			if test.bad == "" {
				if err != nil {
					t.Error(err)
				}
				if !slices.IsSortedFunc(test.parts, func(a, b upload.Part) int { return int(a.Offset - b.Offset) }) {
					t.Errorf("not sorted: %v", test.parts)
				}
				return
			}
			var plan *upload.PlanError
			if !errors.As(err, &plan) || !errors.Is(err, upload.ErrReply) || !strings.Contains(err.Error(), test.bad) {
				t.Errorf("error %v, want one that says %q", err, test.bad)
			}
		})
	}
}

// FuzzSplit: whatever is asked for, there are parts that tile the file within
// the limits, or an error that says which of them cannot be kept.
func FuzzSplit(f *testing.F) {
	f.Add(int64(0), int64(0), int64(0), int64(0), 0)
	f.Add(int64(math.MaxInt64), int64(0), int64(1), int64(math.MaxInt64), 1)
	f.Add(int64(1<<40), int64(5<<20), int64(5<<20), int64(5<<30), 10_000)
	f.Add(int64(math.MaxInt64-3), int64(math.MaxInt64), int64(-1), int64(-1), -1)
	f.Fuzz(func(t *testing.T, size, want, minPart, maxPart int64, maxParts int) {
		l := upload.Limits{MinPart: minPart, MaxPart: maxPart, MaxParts: maxParts}
		if maxParts > 1_000_000 {
			l.MaxParts %= 1_000_000 // a machine must hold them
		}
		parts, err := upload.Split(size, want, l)
		if err != nil {
			if !errors.Is(err, upload.ErrPartSize) && !errors.Is(err, upload.ErrLimit) || parts != nil {
				t.Fatalf("%d parts, %v", len(parts), err)
			}
			return
		}
		if err := upload.Tile(size, parts, nil); err != nil {
			t.Fatal(err)
		}
		if l.MaxParts > 0 && len(parts) > l.MaxParts {
			t.Fatalf("%d parts of at most %d", len(parts), l.MaxParts)
		}
		for i, p := range parts {
			switch {
			case p.Number != i+1:
				t.Fatalf("part %d has number %d", i, p.Number)
			case maxPart > 0 && p.Size > maxPart:
				t.Fatalf("%+v is above %d", p, maxPart)
			case i < len(parts)-1 && p.Size < minPart && (maxPart <= 0 || minPart <= maxPart):
				t.Fatalf("%+v is below %d", p, minPart)
			case want > 0 && i < len(parts)-1 && p.Size != want:
				t.Fatalf("%+v, asked for %d", p, want)
			}
		}
	})
}

// FuzzTile checks it against counting how often each byte is covered.
func FuzzTile(f *testing.F) {
	f.Add(int64(10), []byte{0, 4, 4, 6}, []byte{})
	f.Add(int64(10), []byte{4, 2}, []byte{0, 4, 6, 4})
	f.Add(int64(0), []byte{0, 0}, []byte{})
	f.Add(int64(-1), []byte{0, 255}, []byte{255, 0})
	f.Fuzz(func(t *testing.T, size int64, a, b []byte) {
		var parts []upload.Part
		var held []upload.Range
		for i := 0; i+1 < len(a); i += 2 {
			parts = append(parts, upload.Part{Number: i, Offset: int64(int8(a[i])), Size: int64(int8(a[i+1]))})
		}
		for i := 0; i+1 < len(b); i += 2 {
			held = append(held, upload.Range{Offset: int64(int8(b[i])), Size: int64(int8(b[i+1]))})
		}
		want := size >= 0 && size <= 1<<20
		if want {
			covered := make([]int, size)
			cover := func(off, n int64) {
				if off < 0 || n < 0 || n > size-off || n == 0 && (size > 0 || len(parts)+len(held) > 1) {
					want = false
					return
				}
				for i := off; i < off+n; i++ {
					covered[i]++
				}
			}
			for _, p := range parts {
				cover(p.Offset, p.Size)
			}
			for _, h := range held {
				cover(h.Offset, h.Size)
			}
			want = want && !slices.ContainsFunc(covered, func(n int) bool { return n != 1 })
			want = want && slices.IsSortedFunc(parts, func(a, b upload.Part) int { return cmp.Compare(a.Offset, b.Offset) })
		}
		if err := upload.Tile(size, parts, held); (err == nil) != want {
			t.Errorf("size %d, %v, %v: error %v, want one: %t", size, parts, held, err, !want)
		}
		for _, huge := range []int64{math.MaxInt64, math.MinInt64, math.MaxInt64 - 10} {
			for i := range parts {
				parts[i].Offset += huge
				parts[i].Size -= huge
			}
			_ = upload.Tile(size, parts, held) // it may say anything but panic
		}
	})
}

// On a link whose rate is known to be low, parts that the client plans take
// seconds, not minutes; on a fast one they are as large as ever.
func TestPartsFitTheRate(t *testing.T) {
	for name, test := range map[string]struct {
		rate   int64 // bytes per second
		size   int
		limits upload.Limits
		want   int64 // bytes of a part
	}{
		"slow":            {rate: 1 << 20, size: 20 * mib, want: 8 * mib},
		"very slow":       {rate: 1000, size: 20 * mib, want: 5 * mib},
		"fast":            {rate: 1 << 30, size: 20 * mib, want: 20 * mib},
		"large parts":     {rate: 1000, size: 20 * mib, limits: upload.Limits{MinPart: 16 * mib}, want: 16 * mib},
		"few parts":       {rate: 1000, size: 20 * mib, limits: upload.Limits{MaxParts: 2}, want: 10 * mib},
		"not known":       {size: 20 * mib, want: 20 * mib},
		"small parts":     {rate: 1 << 20, size: 20 * mib, limits: upload.Limits{MaxPart: 6 * mib}, want: 6 * mib},
		"smaller than it": {rate: 1 << 20, size: mib, want: mib},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, test.size)
				r.cloud.partSize, r.limitRate, r.cloud.limits = 0, test.rate, test.limits
				r.ok()
				if got := r.journal.of("u1").Upload.Parts[0].Size; got != test.want {
					t.Errorf("parts of %d bytes, want %d", got, test.want)
				}
			})
		})
	}
}
