package source

import (
	"crypto/md5" // the digest that stores answer with
	"hash"
	"io"
	"runtime"
	"sync"

	md5simd "github.com/minio/md5-simd"
	"golang.org/x/sys/cpu"
)

const (
	// lanesLeast is from how many sections at once computing their MD5s together
	// costs less than one by one.
	lanesLeast = 5
	// lanesEach is how many MD5s one goroutine computes together before another
	// one is begun.
	lanesEach = 8
	// laneSize is from how many bytes on a lane is worth its beginning.
	laneSize = 4 << 20
	// laneWrite is how much a lane takes at once: what is written is waited for
	// after each.
	laneWrite = 32 << 10
)

// md5State is an MD5 that is being computed. It is given back when it is not wanted
// any more.
type md5State interface {
	io.Writer
	Sum(b []byte) []byte
	giveBack()
}

// md5s computes the MD5s of all sections that are read in this process: several in
// the registers of one processor where enough are read at once and it has them, else
// each by itself.
var md5s md5Pool

type md5Pool struct {
	mu        sync.Mutex
	announced int         // MD5s that are or will be computed
	groups    []*md5Group // each has a goroutine and 1.5 MiB, and stays
}

// md5Group is what one goroutine computes. A lane that was begun is used again: the
// library does not forget those that are closed.
type md5Group struct {
	server md5simd.Server
	active int
	free   []md5simd.Hasher
}

// announce tells of an MD5 that will be computed, or that this one will not be any
// more. Parts that are begun together are all announced before the first of them is
// read: its connection is made in between.
func (p *md5Pool) announce(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.announced += n
}

// get begins the MD5 of so many bytes, which was announced.
func (p *md5Pool) get(size int64) md5State {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.announced < lanesLeast || size < laneSize || !cpu.X86.HasAVX2 {
		return md5Plain{md5.New()}
	}
	g := p.group()
	g.active++
	if n := len(g.free); n > 0 {
		h := g.free[n-1]
		g.free = g.free[:n-1]
		h.Reset()
		return &md5Lane{h, g}
	}
	return &md5Lane{g.server.NewHash(), g}
}

// group is the fullest one that has room, as lanes cost the less the more there are;
// else the one with the fewest in use. p.mu is held.
func (p *md5Pool) group() *md5Group {
	var roomy, emptiest *md5Group
	for _, g := range p.groups {
		if g.active < lanesEach && (roomy == nil || g.active > roomy.active) {
			roomy = g
		}
		if emptiest == nil || g.active < emptiest.active {
			emptiest = g
		}
	}
	switch {
	case roomy != nil:
		return roomy
	case len(p.groups) < runtime.GOMAXPROCS(0):
		g := &md5Group{server: md5simd.NewServer()}
		p.groups = append(p.groups, g)
		return g
	}
	return emptiest
}

// md5Plain is an MD5 that is computed by itself.
type md5Plain struct{ hash.Hash }

func (md5Plain) giveBack() {}

// md5Lane is an MD5 that is computed beside others. Writing to it waits only while
// the others are behind.
type md5Lane struct {
	h md5simd.Hasher
	g *md5Group
}

// Write wakes the group after each piece: it would not look at less than three that
// it is not told of, and all buffers may be in such.
func (l *md5Lane) Write(p []byte) (int, error) {
	all := len(p)
	for len(p) > 0 {
		n, err := l.h.Write(p[:min(laneWrite, len(p))])
		if err != nil {
			return all - len(p), err
		}
		p = p[n:]
	}
	return all, nil
}

func (l *md5Lane) Sum(b []byte) []byte { return l.h.Sum(b) }

func (l *md5Lane) giveBack() {
	md5s.mu.Lock()
	defer md5s.mu.Unlock()
	l.g.active--
	l.g.free = append(l.g.free, l.h)
}
