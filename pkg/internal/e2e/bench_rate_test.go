package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tool is one of several commands that are measured in turn, so that whatever else
// the machine does falls on all of them.
type tool struct {
	name string
	run  func() measured
	sum  measured
}

// compareTools runs all tools once for each iteration, each time another one first, and
// gives what they took together.
func compareTools(b *testing.B, tools ...*tool) map[string]measured {
	b.Helper()
	for n := 0; b.Loop(); n++ {
		for i := range tools {
			r := tools[(n+i)%len(tools)]
			m := r.run()
			r.sum.wall, r.sum.cpu, r.sum.peak = r.sum.wall+m.wall, r.sum.cpu+m.cpu, max(r.sum.peak, m.peak)
		}
	}
	sums := map[string]measured{}
	for _, r := range tools {
		sums[r.name] = r.sum
	}
	return sums
}

// compare reports the rate and the processor time of one as shares of another's.
func compare(b *testing.B, name string, m, to measured) {
	b.Helper()
	b.ReportMetric(to.wall.Seconds()/m.wall.Seconds(), name+"-rate")
	b.ReportMetric(m.cpu.Seconds()/to.cpu.Seconds(), name+"-cpu")
}

// BenchmarkThroughput sends 2 GiB in parts of 64 MiB, eight at once, to a server that
// throws them away and takes its half of the machine: with curl -Z, and with multiput
// without verification, with it to a store whose ETags are MD5s, and with it to one
// whose ETags are not.
func BenchmarkThroughput(b *testing.B) {
	const size, part = 2 << 30, 64 << 20
	for _, secure := range []bool{false, true} {
		b.Run(map[bool]string{false: "http", true: "https"}[secure], func(b *testing.B) {
			if _, err := exec.LookPath("curl"); err != nil {
				b.Skip("curl is not installed")
			}
			r := newBench(b, "archetype", part)
			file, piece := r.sparse(b, size), r.sparse(b, part)
			warm(b, file)
			opaque, md5s := &discard{part: part, tls: secure}, &discard{part: part, tls: secure, md5: true}
			to, toMD5s := opaque.start(b), md5s.start(b)
			var config strings.Builder
			for n := range size / part {
				fmt.Fprintf(&config, "url=%s/%d\nupload-file=%s\noutput=/dev/null\n", to, n+1, piece)
			}
			requests := filepath.Join(r.dir, "curl.conf")
			if err := os.WriteFile(requests, []byte(config.String()), 0o600); err != nil {
				b.Fatal(err)
			}
			multiput := func(d *discard, base, checksum string) func() measured {
				args := []string{"upload", file, "-p", "archetype", "--base-url", base, "-j", "8", "-q", "--checksum", checksum}
				if secure {
					args = append(args, "--cacert", d.cacert)
				}
				return func() measured { return measure(b, r.env, r.bin, args...) }
			}
			took := compareTools(b,
				&tool{name: "curl", run: func() measured {
					return measure(b, os.Environ(), "curl", "-s", "-k", "--http1.1", "-Z", "--parallel-max", "8", "-K", requests)
				}},
				&tool{name: "off", run: multiput(opaque, to, "off")},
				&tool{name: "verified", run: multiput(md5s, toMD5s, "require")},
				&tool{name: "opaque", run: multiput(opaque, to, "auto")},
			)
			compare(b, "off/curl", took["off"], took["curl"])
			compare(b, "verified/off", took["verified"], took["off"])
			compare(b, "opaque/off", took["opaque"], took["off"])
			b.ReportMetric(size*float64(b.N)/took["off"].wall.Seconds()/1e6, "off-MB/s")
		})
	}
}

// warm reads a file once: the first reading of a large file, if only of nothing, costs
// more than sending it, and curl sends a file of one part again and again.
func warm(b *testing.B, path string) {
	b.Helper()
	f, err := os.Open(path)
	if err == nil {
		_, err = io.Copy(io.Discard, f)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		b.Fatal(err)
	}
}
