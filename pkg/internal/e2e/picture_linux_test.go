package e2e

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPicture holds that docs/terminal.svg, which README.md shows, is what the
// program prints: it plays the picture on a real terminal and reads the screen.
// Rates, times and names that the provider makes up are left out.
//
//	go test ./pkg/internal/e2e -run TestPicture -update
//
// redraws it.
func TestPicture(t *testing.T) {
	svg, err := filepath.Abs(filepath.Join("..", "..", "..", "docs", "terminal.svg"))
	must(t, err)
	readme, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	must(t, err)
	if !bytes.Contains(readme, []byte("](docs/terminal.svg)")) {
		t.Error("README.md does not show docs/terminal.svg")
	}
	lines := play(t)
	if *update {
		must(t, os.WriteFile(svg, picture(lines), 0o644))
	}
	b, err := os.ReadFile(svg)
	must(t, err)
	if shown := textsOf(t, b); !slices.Equal(shown, lines) {
		t.Errorf("the picture shows\n\n%s\n\nand the program prints\n\n%s\n", strings.Join(shown, "\n"), strings.Join(lines, "\n"))
	}
	if !bytes.Equal(b, picture(lines)) {
		t.Error("the picture is drawn otherwise: run with -update")
	}
}

// play uploads a file, is interrupted, uploads it again, and gives what the
// terminal shows at the end.
func play(t *testing.T) []string {
	const name, parts, part, stored = "video.mp4", 12, 1 << 20, 8
	r := newRig(t, "archetype", part)
	must(t, os.Rename(r.file(t, parts*part), filepath.Join(r.dir, name)))
	t.Chdir(r.dir)
	// It stands still at the ninth part, so that it is the same each time.
	must(t, r.server.Faults.Add(fmt.Sprintf("put@times=%d:slow=10M", stored), fmt.Sprintf("put@part=%d:stall", stored+1)))
	command := []string{"upload", name, "-p", "archetype"}
	env := []string{"MULTIPUT_CONCURRENCY=1", "NO_COLOR=1"}
	const columns = 100
	var s screenshot
	run := func(code int, during func(*pty)) {
		s.write([]byte("$ multiput " + strings.Join(command, " ") + "\r\n"))
		p := r.onTerminal(t, columns, env, command...)
		during(p)
		got, said := p.end()
		if got != code {
			t.Fatalf("exit code %d, want %d:\n%s", got, code, said)
		}
		s.write([]byte(said))
	}
	run(130, func(p *pty) {
		for far := fmt.Sprintf("%d/%d parts", stored, parts); !strings.Contains(p.drawn(1)[0], far); {
		}
		_, err := p.master.Write([]byte{3}) // Ctrl-C
		must(t, err)
	})
	r.restart(t)
	run(0, func(*pty) {})
	lines := s.lines()
	for i, l := range lines {
		for _, v := range varying {
			l = v.what.ReplaceAllString(l, v.shown)
		}
		lines[i] = l
	}
	return lines
}

// varying is what is another each time, and what the picture has instead.
var varying = []struct {
	what  *regexp.Regexp
	shown string
}{
	{regexp.MustCompile(`(\d/\d+ parts) .*$`), "$1  4.2 MB/s  1s"},
	{regexp.MustCompile(` in [\d.]+m?s \([\d.]+ [kMG]?B/s\)`), " in 1s (4.2 MB/s)"},
	{regexp.MustCompile(`^file_[a-z0-9]{20,}$`), "file_xyz321"},
}

// screenshot is what stands on a terminal that understands what multiput writes
// to one.
type screenshot struct {
	rows     [][]rune
	row, col int
}

// sequence is a control sequence: its numbers and its letter.
var sequence = regexp.MustCompile("^\x1b\\[([?0-9;]*)([A-Za-z])")

// title is what does not stand on the screen.
var title = regexp.MustCompile("^\x1b\\][^\x07]*\x07")

func (s *screenshot) write(b []byte) {
	text := string(b)
	for text != "" {
		for len(s.rows) <= s.row {
			s.rows = append(s.rows, nil)
		}
		if m := sequence.FindStringSubmatch(text); m != nil {
			if m[2] == "J" || m[2] == "K" {
				s.rows[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))]
			}
			text = text[len(m[0]):]
			continue
		}
		if m := title.FindString(text); m != "" {
			text = text[len(m):]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch r {
		case '\r':
			s.col = 0
		case '\n':
			s.row++
		default:
			for len(s.rows[s.row]) <= s.col {
				s.rows[s.row] = append(s.rows[s.row], ' ')
			}
			s.rows[s.row][s.col] = r
			s.col++
		}
	}
}

func (s *screenshot) lines() []string {
	var lines []string
	for _, row := range s.rows {
		lines = append(lines, strings.TrimRight(string(row), " "))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// picture draws lines as they stand on a terminal.
func picture(lines []string) []byte {
	const wide, high, around, bar = 8.4, 20, 20, 36 // of a letter, a line, the margin, the title bar
	columns := 0
	for _, l := range lines {
		columns = max(columns, len([]rune(l)))
	}
	width, height := float64(columns)*wide+2*around, len(lines)*high+bar+around
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" width="%.0f" height="%d" role="img">`+"\n", width, height, width, height)
	b.WriteString("<title>multiput is interrupted, and the same command sends only what is missing</title>\n")
	fmt.Fprintf(&b, `<rect width="%.0f" height="%d" rx="8" fill="#1b1f27"/>`+"\n", width, height)
	for i, color := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="18" r="6" fill="%s"/>`+"\n", around+6+i*20, color)
	}
	b.WriteString(`<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14" fill="#d8dee9">` + "\n")
	for i, l := range lines {
		color := ""
		if strings.HasPrefix(l, "$ ") {
			color = ` fill="#8fd48a"`
		}
		// The length is given, as a letter's width depends on the font.
		fmt.Fprintf(&b, `<text x="%d" y="%d" xml:space="preserve" textLength="%.1f" lengthAdjust="spacingAndGlyphs"%s>%s</text>`+"\n",
			around, bar+i*high+high*3/4, float64(len([]rune(l)))*wide, color, html.EscapeString(l))
	}
	b.WriteString("</g>\n</svg>\n")
	return []byte(b.String())
}

// textsOf reads the lines of a picture.
func textsOf(t *testing.T, svg []byte) (lines []string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	inside := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return lines
		}
		must(t, err)
		switch e := token.(type) {
		case xml.StartElement:
			if inside = e.Name.Local == "text"; inside {
				lines = append(lines, "")
			}
		case xml.EndElement:
			inside = false
		case xml.CharData:
			if inside {
				lines[len(lines)-1] += string(e)
			}
		}
	}
}
