package check

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/multiput/multiput/pkg/upload"
)

// roundTrip takes a file to its end in one process, its parts out of order and
// several at a time.
func (t *trial) roundTrip(size int64) {
	f, body := file("round trip.bin", size)
	p := t.open()
	u, gs := t.create(p, f)
	urls := t.urls(p, u, gs, u.Parts)

	shuffled := slices.Clone(u.Parts)
	rand.New(rand.NewPCG(1, uint64(size))).Shuffle(len(shuffled), func(i, j int) {
		shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
	})
	var (
		mu  sync.Mutex
		all sync.WaitGroup
		rs  []upload.Receipt
	)
	before := t.seen()
	for _, part := range shuffled {
		all.Go(func() {
			// Not t.put: only the test's own goroutine may end it.
			r, err := t.tryPut(p, u, urls[part.Number], part, body)
			if err != nil || r.Part != part.Number || r.Value == "" {
				t.Errorf("put part %d: %+v, %v", part.Number, r, err)
			}
			mu.Lock()
			defer mu.Unlock()
			rs = append(rs, r)
		})
	}
	all.Wait()
	if len(rs) != len(u.Parts) {
		t.Fatalf("%d receipts of %d parts", len(rs), len(u.Parts))
	}
	t.clean("the receipts", rs)
	t.complete(p, u, inPlan(u, rs), body)
	t.verbatim(before, rs)
}

// seen is how many exchanges there were.
func (t *trial) seen() int {
	if t.Wire == nil {
		return 0
	}
	return len(t.Wire.Exchanges())
}

// verbatim holds that each receipt is what an answer had, and went into the
// API's complete as it is, quotes included.
func (t *trial) verbatim(from int, rs []upload.Receipt) {
	t.Helper()
	if t.Wire == nil {
		t.Logf("the receipts are not seen on the wire")
		return
	}
	var came, went []string
	for _, x := range t.Wire.Exchanges()[from:] {
		for _, values := range x.Answer {
			came = append(came, values...)
		}
		came = append(came, texts(x.Reply)...)
		if x.At == API {
			went = append(went, texts(x.Body)...)
		}
	}
	for _, r := range rs {
		if !slices.Contains(came, r.Value) {
			t.Errorf("the receipt %q of part %d is not what came", r.Value, r.Part)
		}
		if !slices.Contains(went, r.Value) {
			t.Errorf("the receipt %q of part %d did not go to the API as it is", r.Value, r.Part)
		}
	}
}

// emptyFile is a file of no bytes: one empty part, or a clear no.
func (t *trial) emptyFile() {
	if t.Empty {
		t.roundTrip(0)
		return
	}
	f, body := file("empty.bin", 0)
	p := t.open()
	u, gs, err := t.tryCreate(p, f)
	if err == nil {
		// Some say no only at the end.
		rs := t.putAll(p, u, gs, u.Parts, body)
		_, err = t.tryComplete(p, u, rs, digests(u, body))
	}
	if !errors.Is(err, upload.ErrRefused) && !errors.Is(err, upload.ErrLimit) && !errors.Is(err, upload.ErrReply) {
		t.Errorf("an empty file: %v; want an error that is ErrRefused, ErrLimit or ErrReply", err)
	}
}

// awkward are names that some layer could take for something else.
var awkward = []string{
	" leading, inner and trailing ",
	"üñïcödé 文件 📦 e\u0301.bin", // the last é is decomposed, and has to stay so
	`"double" and 'single' quotes, back\slash.bin`,
	"../../up.bin",
	"..",
	"a/b/c.bin",
	"100% %2e%2e%2f%00.bin",
	"plus+and&equals=#fragment?query=1;semi.bin",
	"{id} <script> $HOME `id` $(id).bin",
	"line\nbreak\r\n.bin",
	"tab\tand\x01control\x7f.bin",
	"-rf",
	"CON.txt",
	"broken \xff\xfe UTF-8.bin",
	strings.Repeat("long", 60) + ".bin",
}

// names go there and come back as they are.
func (t *trial) names() {
	for i, name := range awkward {
		f, body := file(name, int64(i+1))
		p := t.open()
		u, gs := t.create(p, f)
		rs := t.putAll(p, u, gs, u.Parts, body)
		if !utf8.ValidString(name) {
			// JSON cannot carry it: that the upload works is all there is.
			u.File.Name = ""
			result, err := t.tryComplete(p, u, rs, digests(u, body))
			if err != nil {
				t.Fatalf("complete %q: %v", name, err)
			}
			_, got, err := t.Object(t.Context(), u, result)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("the object of %q is not the file (%v)", name, err)
			}
			continue
		}
		t.complete(p, u, rs, body)
	}
}

// manyProcesses has each step done by a process that knows only what the
// journal keeps.
func (t *trial) manyProcesses() {
	f, body := file("many processes.bin", t.PartSize+1)
	u, gs := t.create(t.open(), f)
	u, gs = kept(t, u), kept(t, gs)
	urls := kept(t, t.urls(t.open(), u, gs, u.Parts))
	var rs []upload.Receipt
	for _, part := range u.Parts {
		rs = append(rs, kept(t, t.put(t.open(), kept(t, u), urls[part.Number], part, body)))
	}
	if t.Checkpoints {
		t.checkpoint(t.open(), kept(t, u), rs[:1])
		rs = append(checkpointed(rs[:1]), rs[1:]...)
	}
	t.complete(t.open(), kept(t, u), kept(t, rs), body)
}

// sentTwice sends each part twice, first with other bytes: the second is what
// counts.
func (t *trial) sentTwice() {
	f, body := file("sent twice.bin", t.PartSize+1)
	p := t.open()
	u, gs := t.create(p, f)
	other := bytes.Clone(body)
	for i := range other {
		other[i] ^= 0xff
	}
	urls := t.urls(p, u, gs, u.Parts)
	for _, part := range u.Parts {
		t.put(p, u, urls[part.Number], part, other)
	}
	// A presigned URL may be used again.
	var rs []upload.Receipt
	for _, part := range u.Parts {
		rs = append(rs, t.put(p, u, urls[part.Number], part, body))
	}
	t.complete(p, u, rs, body)
}

// cutShort sends a part whose bytes end too early: that is no part.
func (t *trial) cutShort() {
	f, body := file("cut short.bin", 1000)
	p := t.open()
	u, gs := t.create(p, f)
	part := u.Parts[0]
	urls := t.urls(p, u, gs, u.Parts)
	r, err := p.Put(t.Context(), u, urls[part.Number], part, bytes.NewReader(body[:part.Size/2]))
	if err == nil {
		t.Fatalf("put half a part: the receipt %+v and no error", r)
	}
	t.clean("an error", err)
	rs := t.putAll(p, u, gs, u.Parts, body)
	t.complete(p, u, rs, body)
}
