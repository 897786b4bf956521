package handoff

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

func someUpload(parts int) (upload.Target, upload.Upload, []upload.Presigned) {
	up := upload.Upload{
		ID: "upl_1", Renewable: true, Digest: upload.DigestCRC32C, Data: []byte(`{"id":"a&b<c>"}`),
		File: upload.File{Path: "/data/caf\xe9.bin", Name: "caf\xe9.bin", Size: int64(parts)*10 - 3, Type: "application/octet-stream", ModTime: time.Now()},
	}
	var urls []upload.Presigned
	for i := range parts {
		up.Parts = append(up.Parts, upload.Part{Number: i + 1, Offset: int64(i) * 10, Size: min(10, up.File.Size-int64(i)*10)})
		urls = append(urls, upload.Presigned{
			Part: i + 1, URL: fmt.Sprintf("https://store.example/b/k?partNumber=%d&X-Amz-Signature=%s", i+1, strings.Repeat("0f", 200)),
			Header: map[string]string{"X-A": "b"}, Expires: time.Now().Add(time.Hour).Round(time.Second),
		})
	}
	return upload.Target{Provider: "archetype", Base: "https://api.example", Name: "caf\xe9.bin", Options: []byte(`{"a":"<&>"}`)}, up, urls
}

func TestPlanComesBack(t *testing.T) {
	target, up, urls := someUpload(7)
	p := New(target, upload.Shared{Upload: up, URLs: urls, CRC32C: map[int]uint32{1: 0, 7: 0xdeadbeef}})
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.plan")
	if err := Write(path, b); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	share := got.Share("/else/where", got.Shard(Shard{2, 2}))
	if !share.Upload.File.ModTime.Equal(up.File.ModTime) {
		t.Errorf("the file is of %v, want %v", share.Upload.File.ModTime, up.File.ModTime)
	}
	share.Upload.File.ModTime = up.File.ModTime
	up.Planned = true
	if !reflect.DeepEqual(share.Upload, up) {
		t.Errorf("the upload came back as %+v, want %+v", share.Upload, up)
	}
	if !reflect.DeepEqual(share.Target, target) {
		t.Errorf("the target came back as %+v, want %+v", share.Target, target)
	}
	if len(share.URLs) != 7 || share.URLs[6].URL != urls[6].URL || share.URLs[6].Header["X-A"] != "b" || !share.URLs[6].Expires.Equal(urls[6].Expires) {
		t.Errorf("the URLs came back as %+v", share.URLs)
	}
	if len(share.CRC32C) != 2 || share.CRC32C[7] != 0xdeadbeef {
		t.Errorf("the checksums came back as %v", share.CRC32C)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the plan has the mode %v, want 0600 (%v)", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("%q is left behind", left)
	}
}

// No change to a plan or to receipts passes: of any byte, or to any length.
func TestDamageIsRefused(t *testing.T) {
	target, up, urls := someUpload(2)
	for i := range urls {
		urls[i].URL = "https://store.example/x"
	}
	p := New(target, upload.Shared{Upload: up, URLs: urls})
	plan, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := EncodeReceipts(p.ID, whole, []upload.Receipt{{Part: 1, Value: "\"a\xff\"", MD5: make([]byte, 16)}, {Part: 2, Value: "b", ETag: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Receipts().Add("r", receipts); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func([]byte) error{
		"plan":     func(b []byte) error { _, err := Decode("p", b); return err },
		"receipts": func(b []byte) error { return p.Receipts().Add("r", b) },
	} {
		whole := map[string][]byte{"plan": plan, "receipts": receipts}[name]
		for i := range whole {
			b := bytes.Clone(whole)
			b[i] ^= 1
			if err := read(b); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s with byte %d changed: %v", name, i, err)
			}
			if i > 0 && whole[i-1] != '\n' { // a whole line less is a receipt less
				if err := read(whole[:i]); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s of %d bytes: %v", name, i, err)
				}
			}
		}
	}
}

func TestParseShard(t *testing.T) {
	for _, s := range []string{"0/4", "5/4", "a/b", "1", "/", "1/", "/1", "-1/2", "1/-2", "1/0", "1.0/2", " 1/2", "1/2/3", "1/99999999999999999999", "+1/2"} {
		if got, err := ParseShard(s); err == nil {
			t.Errorf("%q is taken as %v", s, got)
		}
	}
	if got, err := ParseShard(""); err != nil || got != whole {
		t.Errorf("none is %v, %v", got, err)
	}
	if got, err := ParseShard("3/1000000"); err != nil || got != (Shard{3, 1000000}) {
		t.Errorf("3/1000000 is %v, %v", got, err)
	}
}

// Shards are runs of neighboring parts that have each part once, for any number
// of either, and what is missing is named by the shard that has it.
func TestShardsCoverTheParts(t *testing.T) {
	for parts := 1; parts <= 12; parts++ {
		target, up, urls := someUpload(parts)
		p := New(target, upload.Shared{Upload: up, URLs: urls})
		for of := 1; of <= 20; of++ {
			next := 1
			for i := 1; i <= of; i++ {
				s := Shard{i, of}
				for _, part := range p.Shard(s) {
					if part.Number != next {
						t.Fatalf("%d parts: shard %v has part %d, want %d", parts, s, part.Number, next)
					}
					if got := shardsOf([]int{next - 1}, parts, of); len(got) != 1 || got[0] != s {
						t.Fatalf("%d parts: part %d is of shard %v, want %v", parts, next, got, s)
					}
					next++
				}
			}
			if next != parts+1 {
				t.Fatalf("%d shards have %d of %d parts", of, next-1, parts)
			}
		}
	}
}

// Whatever shards the parts are divided into, in whatever order and however often
// their receipts are read, they come to the same, or what is missing is named.
func TestReceiptsMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		parts := 1 + r.IntN(20)
		target, up, urls := someUpload(parts)
		p := New(target, upload.Shared{Upload: up, URLs: urls})
		of := 1 + r.IntN(25)
		var files [][]byte
		lost := map[int]bool{}
		for i := 1; i <= of; i++ {
			s := Shard{i, of}
			var rs []upload.Receipt
			for _, part := range p.Shard(s) {
				rs = append(rs, upload.Receipt{Part: part.Number, Value: fmt.Sprintf("<%d>", part.Number), CRC32C: uint32(part.Number)})
			}
			b, err := EncodeReceipts(p.ID, s, rs)
			if err != nil {
				t.Fatal(err)
			}
			if r.IntN(8) == 0 {
				for _, x := range rs {
					lost[x.Part] = true
				}
				continue
			}
			for range 1 + r.IntN(2) {
				files = append(files, b)
			}
		}
		r.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		if r.IntN(2) == 0 {
			files = [][]byte{bytes.Join(files, nil)} // as cat does
		}
		c := p.Receipts()
		for _, b := range files {
			if err := c.Add("r", b); err != nil {
				t.Fatal(err)
			}
		}
		rs, err := c.All(nil)
		if len(lost) > 0 {
			var missing *MissingError
			if !errors.As(err, &missing) || len(missing.Parts) != len(lost) || !lost[missing.Parts[0]] {
				t.Errorf("%d parts of %d are missing: %v", len(lost), parts, err)
			}
			continue
		}
		if err != nil || len(rs) != parts {
			t.Fatalf("%d receipts of %d parts: %v", len(rs), parts, err)
		}
		for i, x := range rs {
			if x.Part != i+1 || x.Value != fmt.Sprintf("<%d>", i+1) {
				t.Errorf("receipt %d is %+v", i, x)
			}
		}
	}
}

func TestReceiptsContradict(t *testing.T) {
	target, up, urls := someUpload(3)
	p := New(target, upload.Shared{Upload: up, URLs: urls, CRC32C: map[int]uint32{2: 7}})
	file := func(plan string, rs ...upload.Receipt) []byte {
		b, err := EncodeReceipts(plan, whole, rs)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := upload.Receipt{Part: 1, Value: "a", CRC32C: 1}
	for name, b := range map[string][]byte{
		"another plan":    file("0123456789abcdef", first),
		"another receipt": file(p.ID, upload.Receipt{Part: 1, Value: "b", CRC32C: 1}),
		"other bytes":     file(p.ID, upload.Receipt{Part: 1, Value: "a", CRC32C: 2}),
		"no such part":    file(p.ID, upload.Receipt{Part: 4, Value: "a"}),
		"not as planned":  file(p.ID, upload.Receipt{Part: 2, Value: "a", CRC32C: 8}),
	} {
		c := p.Receipts()
		if err := errors.Join(c.Add("1", file(p.ID, first)), c.Add("2", file(p.ID, first))); err != nil {
			t.Fatal(err)
		}
		if err := c.Add("3", b); !errors.Is(err, ErrContradiction) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMissingIsNamed(t *testing.T) {
	for want, e := range map[string]*MissingError{
		"there is no receipt of part 4":                                {Parts: []int{4}},
		"there are no receipts of parts 1-3, 5, 7-8 (shards 1/3, 2/3)": {Parts: []int{7, 1, 2, 8, 3, 5}, Shards: []Shard{{1, 3}, {2, 3}}},
		"there are no receipts of parts 2-3 (shard 1/2)":               {Parts: []int{2, 3}, Shards: []Shard{{1, 2}}},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A file that cannot be written leaves the old one, and nothing beside it.
func TestWriteIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "new" {
		t.Errorf("it holds %q", b)
	}
	none := filepath.Join(dir, "none", "r")
	for _, err := range []error{Write(none, nil), CanWrite(none)} {
		if err == nil || !strings.HasPrefix(err.Error(), "write "+none+": ") {
			t.Errorf("the error does not name the file that was asked for: %v", err)
		}
	}
	if err := CanWrite(dir); err == nil {
		t.Error("a directory can be written")
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		if err := Write("/dev/full", []byte("x")); err == nil {
			t.Error("a full disk takes it")
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err == nil {
		if err := Write(link, []byte("linked")); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); string(b) != "linked" {
			t.Errorf("where the link leads is %q", b)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%v is left behind", left)
	}
}

// A plan of 10,000 parts is written and read within 200 ms.
func BenchmarkPlan10000(b *testing.B) {
	target, up, urls := someUpload(10_000)
	path := filepath.Join(b.TempDir(), "x.plan")
	for b.Loop() {
		doc, err := New(target, upload.Shared{Upload: up, URLs: urls}).Encode()
		if err != nil {
			b.Fatal(err)
		}
		if err := Write(path, doc); err != nil {
			b.Fatal(err)
		}
		if _, err := Load(path); err != nil {
			b.Fatal(err)
		}
	}
	if each := b.Elapsed() / time.Duration(b.N); each > 200*time.Millisecond {
		b.Errorf("it took %v", each)
	}
}

// A file of a newer version says so, whatever else it has.
func TestANewerVersion(t *testing.T) {
	target, up, urls := someUpload(1)
	p := New(target, upload.Shared{Upload: up, URLs: urls})
	_, plan := Decode("p", []byte(`{"version":12,"new":{"a":1},"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}`+"\n"))
	receipts := p.Receipts().Add("r", []byte(`{"version":12,"new":1,"sum":"00000000"}`+"\n"))
	for name, err := range map[string]error{"plan": plan, "receipts": receipts} {
		var e *NewerError
		if !errors.As(err, &e) || e.Version != 12 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	target, up, urls := someUpload(2)
	b, err := New(target, upload.Shared{Upload: up, URLs: urls}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":2,"id":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode("p", b)
		if (p == nil) == (err == nil) || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%v, %v", p, err)
		}
		if err := New(target, upload.Shared{Upload: up, URLs: urls}).Receipts().Add("r", b); err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrContradiction) {
			t.Errorf("%v", err)
		}
	})
}
