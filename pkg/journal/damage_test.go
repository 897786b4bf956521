package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

// A specimen is a journal with some history, as it is and as it was one commit
// before: a torn write of a meta page may bring that back.
type specimen struct {
	image    []byte
	pageSize int
	now      map[string]*upload.Record
	before   map[string]*upload.Record
}

var specimenPaths = []string{"/data/a", "/data/b", "/data/c"}

func newSpecimen(t testing.TB) *specimen {
	t.Helper()
	j := newJournal(t)
	j.noSync = true
	s := &specimen{pageSize: os.Getpagesize()}
	open := func(path string) upload.Entry { return openEntry(t, j, path) }
	a, b, c := open("/data/a"), open("/data/b"), open("/data/c")

	r := sample()
	for n := range 150 {
		r.Upload.Parts = append(r.Upload.Parts, upload.Part{Number: n, Offset: int64(n) * 1 << 20, Size: 1 << 20})
		r.Presigned = append(r.Presigned, upload.Presigned{Part: n, URL: strings.Repeat("u", 40)})
	}
	for _, e := range []upload.Entry{a, b, c} {
		must(t, e.Begin(t.Context(), r))
	}
	receive := func(e upload.Entry, from, to int) {
		var rs []upload.Receipt
		for n := from; n < to; n++ {
			rs = append(rs, upload.Receipt{Part: n, Value: fmt.Sprintf("%q", fmt.Sprintf("%032x", n)), CRC32C: uint32(n), MD5: make([]byte, 16)})
		}
		must(t, e.Receive(t.Context(), rs...))
	}
	receive(a, 0, 140)
	receive(b, 0, 10)
	must(t, b.Begin(t.Context(), sample())) // frees pages
	receive(b, 0, 5)
	must(t, c.Advance(t.Context(), upload.Done, &upload.Outcome{Result: upload.Result{Value: "file-1"}})) // frees more
	s.before = loadAll(t, j)
	receive(a, 140, 141)
	s.now = loadAll(t, j)
	for _, e := range []upload.Entry{a, b, c} {
		must(t, e.Close())
	}
	image, err := os.ReadFile(j.Path)
	must(t, err)
	s.image = image
	must(t, examine(bytes.NewReader(image), int64(len(image)), true))
	return s
}

func loadAll(t testing.TB, j *Journal) map[string]*upload.Record {
	t.Helper()
	m := make(map[string]*upload.Record)
	for _, path := range specimenPaths {
		e := &entry{j: j, target: target, path: path, to: targetKey(target)}
		e.key = uploadKey(e.to, path)
		m[path] = loadRecord(t, e)
	}
	return m
}

// What may come of a damaged journal.
type outcome string

const (
	intact  outcome = "intact"  // read in full, nothing wrong
	aside   outcome = "aside"   // moved aside, unchanged
	refused outcome = "refused" // left where it was, unchanged
)

// probe uses a journal whose file is image, and says what came of it. It fails
// if anything did but these three, or if they were not told truly. With write,
// it is also written to: after that, it is either in order or moved aside.
func (s *specimen) probe(t *testing.T, j *Journal, image []byte, what string, warm, write bool) outcome {
	t.Helper()
	var got outcome
	for i, path := range specimenPaths {
		e, err := j.Open(t.Context(), target, path)
		if err != nil {
			if i > 0 {
				t.Fatalf("%s: open: %v", what, err)
			}
			wantJournalError(t, err, j.Path)
			got = refused
			break
		}
		r, err := e.Load(t.Context())
		must(t, e.Close())
		if err != nil {
			wantJournalError(t, err, j.Path)
			if got = refused; strings.Contains(err.Error(), "moved to") {
				got = aside
			}
			break
		}
		if !reflect.DeepEqual(r, s.now[path]) && !reflect.DeepEqual(r, s.before[path]) {
			t.Fatalf("%s: %s reads as what was never stored", what, path)
		}
		got = intact
	}
	if got != refused && write {
		// Either way it can be written, if only after that has found it out.
		e := openEntry(t, j, "/data/new")
		err := e.Begin(t.Context(), sample())
		if err != nil && got == intact {
			wantJournalError(t, err, j.Path, "moved to")
			got = aside
			err = e.Begin(t.Context(), sample())
		}
		if err != nil {
			t.Fatalf("%s: begin anew: %v", what, err)
		}
		must(t, e.Receive(t.Context(), upload.Receipt{Part: 1, Value: "x"}))
		if r := loadRecord(t, e); r.Receipts[1].Value != "x" {
			t.Fatalf("%s: after that: %+v", what, r)
		}
		must(t, e.Close())
		// A page that nothing needed may still be broken beneath a Journal that
		// saw it whole.
		if err := j.inspect(); err != nil && !warm {
			t.Fatalf("%s: after writing: %v", what, err)
		}
	}
	asides, err := filepath.Glob(j.Path + ".damaged-*")
	must(t, err)
	file := j.Path
	switch {
	case got == aside && len(asides) == 1:
		file = asides[0]
	case got == aside || len(asides) != 0:
		t.Fatalf("%s: %s, and moved aside are %v", what, got, asides)
	case got == intact:
		return got
	}
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, image) {
		t.Fatalf("%s: %s is not what it was (%v)", what, file, err)
	}
	return got
}

// cold probes an image with a Journal that has not seen it.
func (s *specimen) cold(t *testing.T, image []byte, what string, write bool) outcome {
	t.Helper()
	j := &Journal{Path: filepath.Join(t.TempDir(), "journal.db"), noSync: true}
	must(t, os.WriteFile(j.Path, image, 0o600))
	return s.probe(t, j, image, what, false, write)
}

// warm probes an image with a Journal that has seen the file in order, before
// its bytes changed beneath it: then only bbolt stands before the damage.
func (s *specimen) warm(t *testing.T, image []byte, what string, write bool) outcome {
	t.Helper()
	j := &Journal{Path: filepath.Join(t.TempDir(), "journal.db"), noSync: true}
	must(t, os.WriteFile(j.Path, s.image, 0o600))
	loadAll(t, j)
	must(t, os.Truncate(j.Path, int64(len(image))))
	f, err := os.OpenFile(j.Path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(image, 0)
	must(t, errors.Join(err, f.Close()))
	return s.probe(t, j, image, what, true, write)
}

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// Every page overwritten, one at a time: what cannot be read is moved aside,
// and what can is what was stored.
func TestEveryPageDamaged(t *testing.T) {
	s := newSpecimen(t)
	m, _, _, err := findMeta(bytes.NewReader(s.image))
	must(t, err)
	pages := int(m.pages) // beyond are none yet
	fills := map[string]func(page int) []byte{
		"zeros":  func(int) []byte { return make([]byte, s.pageSize) },
		"0xff":   func(int) []byte { return bytes.Repeat([]byte{0xff}, s.pageSize) },
		"random": func(page int) []byte { return random(uint64(page), s.pageSize) },
	}
	count := make(map[string]int)
	for page := range pages {
		for fill, with := range fills {
			image := bytes.Clone(s.image)
			copy(image[page*s.pageSize:], with(page))
			what := fmt.Sprintf("page %d of %d, %s", page, pages, fill)
			cold, warm := s.cold(t, image, what+", cold", fill == "random"), s.warm(t, image, what+", warm", fill == "random")
			count["cold, "+string(cold)]++
			count["warm, "+string(warm)]++
			if cold == refused || page < 2 && cold != intact {
				t.Errorf("%s: %s", what, cold)
			}
		}
	}
	t.Logf("%d pages: %v", pages, count)
	if count["cold, aside"] == 0 || count["warm, aside"] == 0 || count["cold, intact"] == 0 {
		t.Error("this did not damage what it should")
	}
}

func TestCutOff(t *testing.T) {
	s := newSpecimen(t)
	count := make(map[outcome]int)
	sizes := []int{1, 15, 16, 80, s.pageSize - 1, s.pageSize, s.pageSize + 80, 2 * s.pageSize, 3 * s.pageSize, 4*s.pageSize - 1}
	for n := 4; n < len(s.image)/s.pageSize; n += 3 {
		sizes = append(sizes, n*s.pageSize, n*s.pageSize+100)
	}
	for _, size := range sizes {
		what := fmt.Sprintf("%d of %d bytes", size, len(s.image))
		cold := s.cold(t, s.image[:size], what+", cold", size%s.pageSize != 0)
		count[cold]++
		s.warm(t, s.image[:size], what+", warm", size%s.pageSize != 0)
		// Of the first few pages none may tell whose file it is.
		if cold == refused && size > 8*s.pageSize {
			t.Errorf("%s: %s", what, cold)
		}
	}
	t.Logf("%d sizes: %v", len(sizes), count)
	if count[aside] == 0 {
		t.Error("none was moved aside")
	}
	// An empty file is a new journal.
	j := &Journal{Path: filepath.Join(t.TempDir(), "journal.db"), noSync: true}
	must(t, os.WriteFile(j.Path, nil, 0o600))
	e := openEntry(t, j, "/data/a")
	if r := loadRecord(t, e); r != nil {
		t.Error(r)
	}
	must(t, e.Begin(t.Context(), sample()))
	must(t, e.Receive(t.Context(), upload.Receipt{Part: 1}))
}

func TestMetaPagesDamaged(t *testing.T) {
	s := newSpecimen(t)
	p := s.pageSize
	edit := func(fn func(image []byte)) []byte {
		image := bytes.Clone(s.image)
		fn(image)
		return image
	}
	for _, c := range []struct {
		what  string
		want  outcome
		image []byte
	}{
		{"swapped", intact, edit(func(b []byte) { copy(b, s.image[p:2*p]); copy(b[p:], s.image[:p]) })},
		{"both zeroed", aside, edit(func(b []byte) { clear(b[:2*p]) })},
		{"both sums wrong", aside, edit(func(b []byte) { b[72] ^= 1; b[p+72] ^= 1 })},
		{"both of a later bbolt", aside, edit(func(b []byte) { b[20] ^= 1; b[p+20] ^= 1 })},
		{"both random", aside, edit(func(b []byte) { copy(b, random(1, 2*p)) })},
		{"first sum wrong", intact, edit(func(b []byte) { b[72] ^= 1 })},
		{"second sum wrong", intact, edit(func(b []byte) { b[p+72] ^= 1 })},
	} {
		if got := s.cold(t, c.image, c.what, true); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
		s.warm(t, c.image, c.what+", warm", true)
	}
}

// Single bytes changed anywhere: what is read is what was stored, or nothing.
func TestFlippedBytes(t *testing.T) {
	s := newSpecimen(t)
	n := 200 * *times
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	count := make(map[outcome]int)
	for i := range n {
		at := rng.IntN(len(s.image))
		if rng.IntN(2) == 0 { // where it hurts: the headers of pages and of their elements
			at = at/s.pageSize*s.pageSize + rng.IntN(128)
		}
		image := bytes.Clone(s.image)
		image[at] ^= byte(1 + rng.IntN(255))
		count[s.cold(t, image, fmt.Sprintf("byte %d", at), i%10 == 0)]++
	}
	t.Logf("%d bytes: %v", n, count)
	if count[aside] == 0 {
		t.Error("none was moved aside")
	}
}

// A value that decodes to nothing is damage too, though its page is in order.
func TestUndecodable(t *testing.T) {
	s := newSpecimen(t)
	path := filepath.Join(t.TempDir(), "journal.db")
	must(t, os.WriteFile(path, s.image, 0o600))
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketUploads)).Bucket([]byte(uploadKey(targetKey(target), "/data/b")))
		return b.Put([]byte(keyHead), signed([]byte(keyHead), []byte("00000000 {not json")))
	}))
	must(t, db.Close())
	image, err := os.ReadFile(path)
	must(t, err)
	if got := s.cold(t, image, "undecodable head", true); got != aside {
		t.Errorf("%s", got)
	}
}

// Two damaged in one second: the second does not take the first one's name.
func TestMovedAsideTwice(t *testing.T) {
	s := newSpecimen(t)
	j := &Journal{Path: filepath.Join(t.TempDir(), "journal.db"), noSync: true}
	names := make(map[string]bool)
	for i := range 3 {
		must(t, os.WriteFile(j.Path, s.image[:20*s.pageSize+i], 0o600))
		_, err := (&Journal{Path: j.Path}).Moved(t.Context(), target, 30)
		wantJournalError(t, err, "moved to", "still at the provider", "empty journal")
		found, err := filepath.Glob(j.Path + ".damaged-*")
		must(t, err)
		for _, name := range found {
			names[name] = true
		}
	}
	if len(names) != 3 {
		t.Errorf("moved aside: %v", names)
	}
}

// What is not ours is not touched, and nothing is put beside what plainly is
// no journal.
func TestForeign(t *testing.T) {
	s := newSpecimen(t)
	notes := "my notes on multiput\nformatmultiput journal\n" + strings.Repeat("all of it in text\n", 2000)
	other := filepath.Join(t.TempDir(), "other.db")
	makeDB(t, other, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("invoices"))
		if err != nil {
			return err
		}
		return b.Put([]byte("1"), []byte("paid"))
	})
	empty := filepath.Join(t.TempDir(), "empty.db")
	makeDB(t, empty, func(*bbolt.Tx) error { return nil })
	newer := filepath.Join(t.TempDir(), "newer.db")
	makeDB(t, newer, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bucketMeta))
		if err != nil {
			return err
		}
		if err := b.Put([]byte(keyFormat), []byte(formatName)); err != nil {
			return err
		}
		if err := b.Put([]byte(keyVersion), []byte("2")); err != nil {
			return err
		}
		return b.Put([]byte("something"), []byte("that only version 2 knows"))
	})
	unlisted := filepath.Join(t.TempDir(), "unlisted.db")
	must(t, os.WriteFile(unlisted, s.image, 0o600))
	db, err := bbolt.Open(unlisted, 0o600, &bbolt.Options{NoFreelistSync: true})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("x")); return err }))
	must(t, db.Close())
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		must(t, err)
		return b
	}
	cutOff := read(other)[:2*s.pageSize+100]

	for _, c := range []struct {
		what  string
		image []byte
		says  string
		plain bool // it has no trace of bbolt
	}{
		{"notes", []byte(notes), "not a multiput journal", true},
		{"a line", []byte("x\n"), "not a multiput journal", true},
		{"zeros", make([]byte, 1<<16), "not a multiput journal", true},
		{"random", random(3, 1<<16), "not a multiput journal", true},
		{"another program's database", read(other), "another program", false},
		{"an empty database", read(empty), "another program", false},
		{"another program's database, cut off", cutOff, "damaged beyond recognition", false},
		{"a newer journal", read(newer), "newer version of multiput", false},
		{"a journal without a list of free pages", read(unlisted), "free pages", false},
	} {
		path := filepath.Join(t.TempDir(), "file")
		must(t, os.WriteFile(path, c.image, 0o644))
		j := &Journal{Path: path}
		_, err := j.Moved(t.Context(), target, 30)
		wantJournalError(t, err, path, c.says, "not touched")
		e, err := j.Open(t.Context(), target, "/data/a")
		if err == nil {
			wantJournalError(t, e.Begin(t.Context(), sample()), path, c.says)
			must(t, e.Close())
		} else {
			wantJournalError(t, err, path, c.says)
		}
		if !bytes.Equal(read(path), c.image) {
			t.Errorf("%s: touched", c.what)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: mode %v %v", c.what, info.Mode(), err)
		}
		beside, err := os.ReadDir(filepath.Dir(path))
		must(t, err)
		if c.plain && len(beside) != 1 {
			t.Errorf("%s: beside it are %v", c.what, beside)
		}
	}
}

func makeDB(t *testing.T, path string, fn func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, errors.Join(db.Update(fn), db.Close()))
}

// Places where no journal can be.
func TestNoPlace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte("x"), 0o600))
	for what, path := range map[string]string{
		"no path":                 "",
		"a directory":             dir,
		"a file for a directory":  filepath.Join(file, "journal.db"),
		"a file for a directory ": filepath.Join(file, "deeper", "journal.db"),
		"a device":                os.DevNull,
		"a name too long":         filepath.Join(dir, strings.Repeat("n", 300)),
	} {
		j := &Journal{Path: path}
		e, err := j.Open(t.Context(), target, "/data/a")
		if err == nil {
			err = e.Begin(t.Context(), sample())
		}
		wantJournalError(t, err, path)
		t.Logf("%s: %v", what, err)
		_, err = j.Moved(t.Context(), target, 30)
		if err != nil {
			wantJournalError(t, err, path)
		}
	}
	if found, _ := filepath.Glob(os.DevNull + "?*"); len(found) != 0 && found[0] == os.DevNull+".lock" {
		t.Errorf("beside the device: %v", found)
	}
	if found, err := os.ReadDir(dir); err != nil || len(found) != 1 {
		t.Errorf("left behind: %v %v", found, err)
	}
}

// A directory that cannot be written to, and a journal that cannot be read.
// Root may do both.
func TestNoPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("running as root, whom no mode keeps out: in the way is a directory instead")
	}
	dir := filepath.Join(t.TempDir(), "state")
	must(t, os.Mkdir(dir, 0o700))
	j := &Journal{Path: filepath.Join(dir, "journal.db")}
	if os.Geteuid() == 0 {
		must(t, os.Mkdir(j.Path+".lock", 0o700))
	} else {
		must(t, os.Chmod(dir, 0o500))
		defer func() { must(t, os.Chmod(dir, 0o700)) }()
	}
	e, err := j.Open(t.Context(), target, "/data/a")
	if err == nil {
		defer e.Close()
		err = e.Begin(t.Context(), sample())
	}
	wantJournalError(t, err, j.Path)
	t.Log(err)
}

func TestAdvice(t *testing.T) {
	j := &Journal{Path: "/x", path: "/x"}
	for _, errno := range []error{syscall.ENOSPC, syscall.EROFS, syscall.EMFILE, os.ErrPermission} {
		err := j.broken("write", &os.PathError{Op: "open", Path: "/x", Err: errno})
		var e *Error
		if !errors.As(err, &e) || e.Advice == "" || !errors.Is(err, errno) || !errors.Is(err, upload.ErrJournal) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}
