package progress

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Actions writes for the runner of a GitHub Actions job: an annotation for each
// error and warning, and a summary of the job. All methods of a nil *Actions do
// nothing, and all may be called from several goroutines.
//
// The runner reads commands out of everything that a job prints. Names of files
// and messages of servers are printed too, and must not become commands: that is
// what Guard is for, which comes before all else.
type Actions struct {
	Title   string // of the annotations; empty: the runner's own
	Summary string // the file that the summary is appended to; empty: none
	Hint    Hint   // goes behind warnings

	mu   sync.Mutex
	w    io.Writer // what Guard guards
	rows []*row
	more int // that have no row
	fail int // of these
}

// row is what came of one file.
type row struct {
	file   string
	report upload.Report
	failed string // why; empty: it is uploaded
}

// maxRows is how many files the summary shows: GitHub takes no more than 1 MiB.
const maxRows = 1000

// Guard gives a writer to w that lets no command through but those of Actions.
func (j *Actions) Guard(w io.Writer) io.Writer {
	if j == nil {
		return w
	}
	j.w = w
	return &guard{w: w}
}

// Beneath gives what w guards: for a program of the user's, whose commands are
// the user's.
func (j *Actions) Beneath(w io.Writer) io.Writer {
	if j == nil {
		return w
	}
	return j.w
}

// Observe makes an observer of the upload of a file, which calls next too. It
// annotates warnings as they occur, unless quiet, and remembers the end.
func (j *Actions) Observe(file string, quiet bool, next func(upload.Event)) func(upload.Event) {
	if j == nil {
		return next
	}
	return func(e upload.Event) {
		next(e)
		text := ""
		switch e := e.(type) {
		case upload.Warning, upload.Lost:
			text = j.Hint.Text(e)
		case upload.Finished:
			j.note(row{file: file, report: e.Report})
		}
		if text != "" && !quiet {
			j.annotate("warning", file, text)
		}
	}
}

// Failure is what went wrong, as the user is told.
type Failure struct {
	File    string // as the user named it; empty: it is about none
	Report  upload.Report
	Code    int // of the exit
	Message string
	Hint    string // empty: there is none
}

// Failed annotates an error, unless quiet, and remembers that its file is not
// where it should be.
func (j *Actions) Failed(f Failure, quiet bool) {
	if j == nil {
		return
	}
	if f.File != "" {
		j.note(row{file: f.File, report: f.Report, failed: fmt.Sprintf("exit code %d: %s", f.Code, f.Message)})
	}
	if quiet {
		return
	}
	message := f.Message
	if f.Hint != "" {
		message += "\nhint: " + f.Hint
	}
	j.annotate("error", f.File, message)
}

// note keeps the last that is known of a file.
func (j *Actions) note(r row) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, old := range j.rows {
		if old.file == r.file && old.failed == "" && r.failed != "" {
			*old = r
			return
		}
	}
	if len(j.rows) < maxRows {
		j.rows = append(j.rows, &r)
		return
	}
	j.more++
	if r.failed != "" {
		j.fail++
	}
}

// annotate writes a workflow command.
func (j *Actions) annotate(command, file, message string) {
	text := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", "##[", "## [")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", "##[", "## [", ":", "%3A", ",", "%2C")
	var of []string
	if file != "" {
		of = append(of, "file="+property.Replace(transport.VisibleLines(file)))
	}
	if j.Title != "" {
		of = append(of, "title="+property.Replace(j.Title))
	}
	fmt.Fprintf(j.w, "::%s::%s\n", strings.TrimSuffix(command+" "+strings.Join(of, ","), " "), text.Replace(message))
}

// Summarize appends what came of the files to the job's summary. That it cannot
// is worth a warning, and no failure.
func (j *Actions) Summarize(warn func(string)) {
	if j == nil || j.Summary == "" {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.rows) == 0 {
		return
	}
	f, err := os.OpenFile(j.Summary, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = io.WriteString(f, j.table())
		err = errors.Join(err, f.Close())
	}
	j.rows, j.more, j.fail = nil, 0, 0
	if err != nil {
		warn(fmt.Sprintf("the summary of the job cannot be written: %v", err))
	}
}

// table is the summary in Markdown. It holds nothing that stdout and stderr do
// not, and of URLs only what is no secret.
func (j *Actions) table() string {
	var s strings.Builder
	s.WriteString("\n| file | size | parts | time | verification | result |\n| --- | ---: | ---: | ---: | --- | --- |\n")
	for _, r := range j.rows {
		size, parts, verified, result := "", "", r.report.Verification, r.report.Result.Value
		if r.report.File.Path != "" {
			size = text.Bytes(r.report.File.Size)
		}
		if n := r.report.Parts; n > 0 {
			parts = fmt.Sprint(n)
			if r.report.PartsReused > 0 {
				parts += fmt.Sprintf(" (%d stored before)", r.report.PartsReused)
			}
		}
		if r.failed != "" {
			verified, result = "", "✗ "+r.failed
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s | %s |\n", cell(r.file), size, parts,
			r.report.Elapsed.Round(10*time.Millisecond), cell(cmp.Or(verified, "—")), cell(result))
	}
	if j.more > 0 {
		fmt.Fprintf(&s, "\nNot listed: %s, %d of them with an error.\n", count(j.more, "file"), j.fail)
	}
	return s.String()
}

// cell makes a text one that Markdown shows as it is.
func cell(s string) string {
	var out strings.Builder
	if clean := transport.Clean(s); clean != strings.Join(strings.Fields(s), " ") { // there may be a secret in it
		s = clean
	}
	for _, r := range transport.Visible(s) {
		if r < utf8.RuneSelf && strings.ContainsRune("!\"#$%&'()*+:;<=>?@[\\]^_`{|}~", r) {
			fmt.Fprintf(&out, "&#%d;", r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

// guard takes workflow commands apart: a :: that begins a line, whatever white
// space is before it, and a ##[ anywhere.
type guard struct {
	mu     sync.Mutex
	w      io.Writer
	line   bool // something but space was in this line
	colon  bool // it is one colon
	hashes int  // that came last
}

func (g *guard) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]byte, 0, len(p)+8)
	for _, c := range p {
		if c == ':' && g.colon || c == '[' && g.hashes >= 2 {
			out = append(out, ' ')
		}
		g.colon = c == ':' && !g.line
		if c == '#' {
			g.hashes++
		} else {
			g.hashes = 0
		}
		switch {
		case c == '\n', c == '\r':
			g.line = false
		case c > ' ' && c < utf8.RuneSelf: // beyond that there are more kinds of space
			g.line = true
		}
		out = append(out, c)
	}
	if _, err := g.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
