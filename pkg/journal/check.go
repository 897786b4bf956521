package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"

	"github.com/multiput/multiput/pkg/upload"
)

// bbolt trusts its file: most damage makes it panic, some makes it recurse
// without end, allocate without end, or write over live pages. So before it
// is let near a file, the pages are read here, with nothing believed. What
// follows is the part of bbolt's file format, version 2, that this takes.
//
//	file  = meta page 0, meta page 1, pages 2, 3, …
//	page  = id u64, flags u16, count u16, overflow u32, then its elements
//	meta  = magic u32, version u32, page size u32, flags u32, root page u64,
//	        root sequence u64, freelist page u64, number of pages u64, txid
//	        u64, FNV-64a of all that u64
//
// Numbers are in the byte order of the machine.
const (
	bboltMagic   = 0xED0CDAED
	bboltVersion = 2

	pageHeader  = 16
	elementSize = 16
	metaSize    = 64
	bucketSize  = 16 // root page u64, sequence u64

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketFlag   = 0x01 // of a leaf element: its value is a bucket

	noFreelist = ^uint64(0) // written by an option that this package does not use
	maxDepth   = 64         // of pages below pages; a sound file has less than ten
)

var endian = binary.NativeEndian

// meta is what a valid meta page says.
type meta struct {
	pageSize int64
	root     uint64
	freelist uint64
	pages    uint64 // page numbers end before it
	txid     uint64
}

// fits reports whether a file of a size has room for all pages.
func (m meta) fits(size int64) bool {
	return m.pages <= uint64(size/m.pageSize)
}

// What is wrong with a file that is not a journal in order.
var (
	// errDamaged: it is a journal, and it is broken.
	errDamaged = errors.New("damaged")
	// errForeign: it is no journal. It is not ours to touch.
	errForeign = errors.New("not a multiput journal")
	// errNewer: a later version of this package wrote it.
	errNewer = errors.New("written by a newer version of multiput")
)

func damagedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, args...))
}

// readMeta reads the meta page at an offset. ok: it is valid. marked: at least
// its magic number is there.
func readMeta(r io.ReaderAt, off int64) (m meta, ok, marked bool, err error) {
	var b [pageHeader + metaSize]byte
	if _, err := r.ReadAt(b[:], off); err != nil {
		if errors.Is(err, io.EOF) {
			return m, false, false, nil
		}
		return m, false, false, err
	}
	v := b[pageHeader:]
	if endian.Uint32(v) != bboltMagic {
		return m, false, false, nil
	}
	m = meta{
		pageSize: int64(endian.Uint32(v[8:])),
		root:     endian.Uint64(v[16:]),
		freelist: endian.Uint64(v[32:]),
		pages:    endian.Uint64(v[40:]),
		txid:     endian.Uint64(v[48:]),
	}
	ok = endian.Uint32(v[4:]) == bboltVersion && endian.Uint64(v[metaSize-8:]) == metaSum(v[:metaSize-8]) &&
		m.pageSize >= 1024 && m.pageSize&(m.pageSize-1) == 0
	return m, ok, true, nil
}

// metaSum is the checksum of a meta page.
func metaSum(b []byte) uint64 {
	sum := fnv.New64a()
	_, _ = sum.Write(b)
	return sum.Sum64()
}

// findMeta gives the meta page that bbolt would go by: the valid one with the
// higher transaction. found: there is one. marked: there is at least a trace of
// bbolt's magic number.
func findMeta(r io.ReaderAt) (m meta, found, marked bool, err error) {
	m, found, marked, err = readMeta(r, 0)
	if err != nil {
		return m, false, marked, err
	}
	if found {
		second, ok, _, err := readMeta(r, m.pageSize)
		if err != nil {
			return m, false, true, err
		}
		if ok && second.pageSize == m.pageSize && second.txid > m.txid {
			m = second
		}
		return m, true, true, nil
	}
	// The page size is not known then: bbolt tries the same.
	for size := int64(1024); size <= 1024<<14; size *= 2 {
		second, ok, mark, err := readMeta(r, size)
		if err != nil {
			return m, false, marked, err
		}
		marked = marked || mark
		if ok && second.pageSize == size {
			return second, true, true, nil
		}
	}
	return m, false, marked, nil
}

// bboltLike reports whether a file without a valid meta page has pages that
// look like bbolt's.
func bboltLike(r io.ReaderAt) bool {
	var b [pageHeader]byte
	for _, size := range []int64{4096, 8192, 16384, 65536} {
		for id := int64(2); id < 10; id++ {
			if _, err := r.ReadAt(b[:], id*size); err != nil {
				break
			}
			flags := endian.Uint16(b[8:])
			if endian.Uint64(b[:]) == uint64(id) && (flags == branchPage || flags == leafPage || flags == freelistPage) {
				return true
			}
		}
	}
	return false
}

// marks are what a journal, however broken, has somewhere: the first key and
// value of its bucket "meta", as they lie in a page of their own, or the name
// of the other bucket, which lies in another.
var marks = [][]byte{[]byte(keyFormat + formatName), []byte(bucketUploads)}

// hasMark looks for a mark in the first 64 MiB.
func hasMark(r io.ReaderAt) bool {
	const overlap = 64 // more than the longest mark
	buf := make([]byte, 64<<10)
	for off := int64(0); off < 64<<20; off += int64(len(buf) - overlap) {
		n, err := r.ReadAt(buf, off)
		for _, mark := range marks {
			if bytes.Contains(buf[:n], mark) {
				return true
			}
		}
		if err != nil {
			return false
		}
	}
	return false
}

// examine says what a file is: nil for a journal that bbolt may be let at, or
// an error that is errDamaged, errForeign, errNewer or one of reading. With
// deep, every value must also decode.
//
// A damaged file counts as a journal only if it looks like one of bbolt's and
// bears a mark of ours.
func examine(r io.ReaderAt, size int64, deep bool) error {
	m, found, marked, err := findMeta(r)
	if err != nil {
		return err
	}
	if !found {
		if !marked && !bboltLike(r) {
			return errForeign
		}
		return oursOrNot(r, damagedf("neither of its two first pages is valid"))
	}
	if m.freelist == noFreelist {
		return fmt.Errorf("%w: its free pages are not listed", errForeign)
	}
	// Before anything else is read, and by far the most frequent: the file was
	// cut off. A page number beyond what an offset can hold is nonsense too.
	if m.pages < 4 || !m.fits(size) {
		return oursOrNot(r, damagedf("it has %d bytes and should have at least %d pages of %d", size, m.pages, m.pageSize))
	}
	version, err := identify(r, m)
	if err != nil {
		if errors.Is(err, errDamaged) {
			return oursOrNot(r, err)
		}
		return err
	}
	if version != schemaVersion {
		return fmt.Errorf("%w (its format is version %s, known is %s)", errNewer, printable(version), schemaVersion)
	}
	c := newChecker(r, m)
	c.deep = deep
	if err := c.freelist(); err != nil {
		return err
	}
	return c.tree(m.root, nil, nil)
}

// oursOrNot keeps a file that bears no mark of ours from being called a
// damaged journal.
func oursOrNot(r io.ReaderAt, damage error) error {
	if hasMark(r) {
		return damage
	}
	return fmt.Errorf("%w, or damaged beyond recognition", errForeign)
}

// shape is what a bucket has: names and values do not tell that one of them is
// missing.
type shape struct {
	head  []byte
	names []string // a bucket's with a slash at its end
}

func (s *shape) add(key, value []byte, bucket bool) {
	if len(s.names) > 16 {
		return // a list of many, such as receipts
	}
	name := string(key)
	if bucket {
		name += "/"
	} else if name == keyHead {
		s.head = bytes.Clone(value)
	}
	s.names = append(s.names, name)
}

// check compares with what the bucket at a path should have.
func (s *shape) check(path []string) error {
	var want []string
	switch {
	case len(path) == 0:
		want = []string{bucketMeta + "/", bucketUploads + "/"}
	case len(path) == 1 && path[0] == bucketMeta:
		want = []string{keyFormat, bucketStill + "/", keyVersion}
	case len(path) == 2 && path[0] == bucketUploads:
		h, err := openHead(s.head)
		if err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		if uploadKey(h.To, h.Path) != path[1] {
			return damagedf("the record of %s has another's place", printable(h.Path))
		}
		switch {
		case ended(h.State):
			want = []string{keyHead, keyOutcome, bucketPlan + "/", bucketReceipts + "/", keyUpdated}
		case h.State == upload.Corrupt:
			want = []string{keyHead, bucketPlan + "/", bucketReceipts + "/", keyUpdated}
		default:
			want = []string{keyHead, bucketPlan + "/", bucketReceipts + "/", keyUpdated, bucketURLs + "/"}
		}
	case len(path) == 3 && path[2] == bucketPlan:
		want = []string{keyParts, keyUpload}
	default:
		return nil
	}
	if !slices.Equal(s.names, want) {
		return damagedf("a bucket has %q and should have %q", s.names, want)
	}
	return nil
}

// identify finds the version of the journal, looking at the pages of the root
// bucket only.
func identify(r io.ReaderAt, m meta) (version string, err error) {
	c := newChecker(r, m)
	var format string
	err = c.walk(m.root, 0, nil, nil, func(e element) error {
		if !e.bucket || string(e.key) != bucketMeta {
			return nil
		}
		return c.bucket(e.value, func(root uint64, inline *page) error {
			take := func(e element) error {
				switch string(e.key) {
				case keyFormat:
					format = string(e.value)
				case keyVersion:
					version = string(e.value)
				}
				return nil
			}
			if inline != nil {
				return inline.each(nil, nil, take)
			}
			return c.walk(root, 0, nil, nil, take)
		})
	})
	if err != nil {
		return "", err
	}
	if format != formatName {
		return "", fmt.Errorf("%w, but another program's database", errForeign)
	}
	return version, nil
}

// checker reads the pages of one file.
type checker struct {
	r    io.ReaderAt
	m    meta
	deep bool
	seen []uint64 // bits of the pages that something refers to
	free []uint64 // bits of the pages that the freelist lists
	idle [][]byte // memory of pages that are done with
}

func newChecker(r io.ReaderAt, m meta) *checker {
	words := m.pages/64 + 1
	return &checker{r: r, m: m, seen: make([]uint64, words), free: make([]uint64, words)}
}

// page is one page with its overflow, or a bucket's inline page.
type page struct {
	id    uint64
	flags uint16
	count uint16
	data  []byte // all of it, header included
}

// read reads a page that nothing referred to before.
func (c *checker) read(id uint64) (*page, error) {
	if id < 2 || id >= c.m.pages {
		return nil, damagedf("it refers to page %d of %d", id, c.m.pages)
	}
	var data []byte
	if n := len(c.idle); n > 0 {
		data, c.idle = c.idle[n-1], c.idle[:n-1]
	} else {
		data = make([]byte, c.m.pageSize)
	}
	if err := c.readAt(data, id); err != nil {
		return nil, err
	}
	p, overflow := parse(data)
	if p.id != id {
		return nil, damagedf("page %d says it is %d", id, p.id)
	}
	if uint64(overflow) >= c.m.pages-id {
		return nil, damagedf("page %d reaches beyond the end", id)
	}
	for n := id; n <= id+uint64(overflow); n++ {
		bit := uint64(1) << (n % 64)
		switch {
		case c.seen[n/64]&bit != 0:
			return nil, damagedf("page %d is used twice", n)
		case c.free[n/64]&bit != 0:
			return nil, damagedf("page %d is used and listed as free", n)
		}
		c.seen[n/64] |= bit
	}
	if overflow > 0 {
		data = make([]byte, (int64(overflow)+1)*c.m.pageSize)
		if err := c.readAt(data, id); err != nil {
			return nil, err
		}
		p, _ = parse(data)
	}
	return p, nil
}

// done gives a page's memory back.
func (c *checker) done(p *page) {
	if int64(len(p.data)) == c.m.pageSize {
		c.idle = append(c.idle, p.data)
	}
}

func (c *checker) readAt(b []byte, id uint64) error {
	off := int64(id) * c.m.pageSize
	if _, err := c.r.ReadAt(b, off); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if err != nil {
		return damagedf("page %d is cut off", id)
	}
	return nil
}

// parse takes a page's header apart. data has room for one.
func parse(data []byte) (p *page, overflow uint32) {
	return &page{
		id:    endian.Uint64(data),
		flags: endian.Uint16(data[8:]),
		count: endian.Uint16(data[10:]),
		data:  data,
	}, endian.Uint32(data[12:])
}

// element is one of a leaf or branch page.
type element struct {
	key    []byte
	value  []byte // of a leaf
	bucket bool   // of a leaf: the value is a bucket
	child  uint64 // of a branch
	last   bool   // of its page
	next   []byte // the key of the one after it
}

// each calls fn for the elements of a leaf or branch page, whose keys must
// ascend from lo (inclusive) to hi (exclusive); nil is no bound.
func (p *page) each(lo, hi []byte, fn func(element) error) error {
	branch := p.flags == branchPage
	if !branch && p.flags != leafPage {
		return damagedf("page %d is of no known kind", p.id)
	}
	if branch && p.count == 0 {
		return damagedf("page %d is empty", p.id)
	}
	elements := pageHeader + int(p.count)*elementSize
	if elements > len(p.data) {
		return damagedf("page %d is overfull", p.id)
	}
	// bbolt packs keys and values without a gap, in order. Less would not show
	// an element that is missing.
	next := int64(elements)
	var before element
	for i := range int(p.count) {
		at := pageHeader + i*elementSize
		b := p.data[at : at+elementSize]
		var e element
		var flags, pos, ksize, vsize uint32
		if branch {
			pos, ksize, e.child = endian.Uint32(b), endian.Uint32(b[4:]), endian.Uint64(b[8:])
		} else {
			flags, pos, ksize, vsize = endian.Uint32(b), endian.Uint32(b[4:]), endian.Uint32(b[8:]), endian.Uint32(b[12:])
		}
		start := int64(at) + int64(pos)
		mid := start + int64(ksize)
		end := mid + int64(vsize)
		if ksize == 0 || flags > bucketFlag || start != next || end > int64(len(p.data)) {
			return damagedf("page %d, element %d is out of place", p.id, i)
		}
		next = end
		e.key, e.value = p.data[start:mid], p.data[mid:end]
		e.bucket = flags == bucketFlag
		if i == 0 && lo != nil && bytes.Compare(e.key, lo) < 0 ||
			i > 0 && bytes.Compare(e.key, before.key) <= 0 ||
			hi != nil && bytes.Compare(e.key, hi) >= 0 {
			return damagedf("page %d, element %d is out of order", p.id, i)
		}
		if i > 0 {
			before.next = e.key
			if err := fn(before); err != nil {
				return err
			}
		}
		before = e
	}
	if p.count == 0 {
		return nil
	}
	before.last = true
	return fn(before)
}

// walk calls fn for every leaf element of one bucket, in order.
func (c *checker) walk(id uint64, depth int, lo, hi []byte, fn func(element) error) error {
	if depth > maxDepth {
		return damagedf("its pages nest without end")
	}
	p, err := c.read(id)
	if err != nil {
		return err
	}
	defer c.done(p)
	return p.each(lo, hi, func(e element) error {
		if p.flags == leafPage {
			return fn(e)
		}
		above := e.next
		if e.last {
			above = hi
		}
		return c.walk(e.child, depth+1, e.key, above, fn)
	})
}

// bucket takes a bucket's value apart: fn gets the page that is its root, or
// the page that lies within the value.
func (c *checker) bucket(value []byte, fn func(root uint64, inline *page) error) error {
	if len(value) < bucketSize {
		return damagedf("a bucket is cut off")
	}
	root := endian.Uint64(value)
	if root != 0 {
		return fn(root, nil)
	}
	data := value[bucketSize:]
	if len(data) < pageHeader {
		return damagedf("a bucket is cut off")
	}
	p, _ := parse(data)
	if p.flags != leafPage {
		return damagedf("a bucket is of no known kind")
	}
	return fn(0, p)
}

// tree checks a bucket, the buckets within it, and its values. path is where
// it is in the journal.
func (c *checker) tree(root uint64, inline *page, path []string) error {
	if len(path) > maxDepth {
		return damagedf("its buckets nest without end")
	}
	var found shape
	visit := func(e element) error {
		found.add(e.key, e.value, e.bucket)
		if !e.bucket {
			return checkValue(path, e.key, e.value, c.deep)
		}
		if inline != nil {
			return damagedf("a bucket lies within a page that can have none")
		}
		within := append(path[:len(path):len(path)], string(e.key))
		return c.bucket(e.value, func(root uint64, inline *page) error {
			return c.tree(root, inline, within)
		})
	}
	var err error
	if inline != nil {
		err = inline.each(nil, nil, visit)
	} else {
		err = c.walk(root, 0, nil, nil, visit)
	}
	if err != nil {
		return err
	}
	return found.check(path)
}

// freelist checks the list of free pages.
func (c *checker) freelist() error {
	p, err := c.read(c.m.freelist)
	if err != nil {
		return err
	}
	if p.flags != freelistPage {
		return damagedf("page %d should list the free pages", p.id)
	}
	list, count := p.data[pageHeader:], uint64(p.count)
	if p.count == 0xFFFF {
		count = endian.Uint64(list)
		list = list[8:]
	}
	if count > uint64(len(list)/8) {
		return damagedf("the list of free pages is cut off")
	}
	var before uint64
	for i := range count {
		id := endian.Uint64(list[8*i:])
		if id < 2 || id >= c.m.pages || id <= before || c.seen[id/64]&(1<<(id%64)) != 0 {
			return damagedf("the list of free pages has page %d", id)
		}
		before = id
		c.free[id/64] |= 1 << (id % 64)
	}
	return nil
}

// printable keeps a value read from a file of unknown origin presentable.
func printable(s string) string {
	if len(s) > 20 {
		s = s[:20] + "…"
	}
	return fmt.Sprintf("%q", s)
}
