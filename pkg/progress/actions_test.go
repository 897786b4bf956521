package progress

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/multiput/multiput/pkg/upload"
)

// commands are the workflow commands in what was printed, found as the runner
// finds them: https://github.com/actions/runner, ActionCommand.cs.
func commands(printed string) (found []string) {
	for _, line := range strings.FieldsFunc(printed, func(r rune) bool { return r == '\n' || r == '\r' }) {
		trimmed := strings.TrimLeftFunc(line, unicode.IsSpace)
		if strings.HasPrefix(trimmed, "::") && strings.Contains(trimmed[2:], "::") {
			found = append(found, trimmed)
		}
		if _, rest, ok := strings.Cut(line, "##["); ok && strings.Contains(rest, "]") {
			found = append(found, line)
		}
	}
	return found
}

func inJob(summary string) (*Actions, *strings.Builder, *guard) {
	var out strings.Builder
	j := &Actions{Title: "multiput", Summary: summary}
	return j, &out, j.Guard(&out).(*guard)
}

// Nothing that is printed becomes a workflow command, however it is split.
func TestGuard(t *testing.T) {
	for _, text := range []string{
		"::error::x\n", "  \t::error::x\n", "\u00a0\u3000::error::x\n", "a\r::error::x\n", "a\n\n::stop-commands::x\n",
		"one ##[command]x\n", "####[error]x\n", ":::error::x\n", "::\n", ":\x00:error::x\n",
	} {
		if strings.Count(text, "::") > 1 && len(commands(text)) == 0 && !strings.HasPrefix(text, ":\x00") {
			t.Errorf("%q is no command, and proves nothing", text)
		}
		_, out, g := inJob("")
		fmt.Fprint(g, text)
		if found := commands(out.String()); found != nil {
			t.Errorf("%q becomes %q", text, found)
		}
		whole := out.String()
		_, out, g = inJob("")
		for i := range len(text) {
			fmt.Fprint(g, text[i:i+1])
		}
		if out.String() != whole {
			t.Errorf("%q, byte by byte, becomes %q", text, out.String())
		}
	}
	_, out, g := inJob("")
	const harmless = "a::b: 50% (1 of 2)\n# [x] c :: d\nhttps://[::1]:80\n"
	fmt.Fprint(g, harmless)
	if out.String() != harmless {
		t.Errorf("%q becomes %q", harmless, out.String())
	}
}

func FuzzGuard(f *testing.F) {
	f.Add("  ::error::x\n##[debug]\r::a::")
	f.Fuzz(func(t *testing.T, text string) {
		_, out, g := inJob("")
		fmt.Fprint(g, text)
		if found := commands(out.String()); found != nil {
			t.Errorf("%q becomes %q", text, found)
		}
	})
}

// An annotation is one command, whatever the file is called and the server says.
func TestAnnotations(t *testing.T) {
	j, out, _ := inJob("")
	const file, message = "a,b:c%\n::warning::d##[e]", "100%\r\n::set-env name=PATH::x##[y]"
	j.Failed(Failure{File: file, Code: 1, Message: message, Hint: "try\nagain"}, false)
	want := "::error file=a%2Cb%3Ac%25%0A%3A%3Awarning%3A%3Ad## [e],title=multiput::100%25%0D%0A::set-env name=PATH::x## [y]%0Ahint: try%0Aagain\n"
	if out.String() != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
	out.Reset()
	j.Observe("a.bin", false, func(upload.Event) {})(upload.AbortFailed{Upload: "u0", Err: errors.New("odd\n::error::x")})
	if found := commands(out.String()); len(found) != 1 || found[0] != "::warning file=a.bin,title=multiput::could not abort upload u0 at the provider: odd ::error::x" {
		t.Errorf("a warning is %q", found)
	}
	out.Reset()
	j.Observe("a.bin", true, func(upload.Event) {})(upload.AbortFailed{Upload: "u0", Err: errors.New("odd")})
	j.Failed(Failure{Code: 1, Message: message}, true)
	if out.String() != "" {
		t.Errorf("where stderr holds objects it says %q", out)
	}
}

// The summary is a row for each file. What is in it shows as it is, and no URL
// shows its signature.
func TestSummary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "summary.md")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	j, _, _ := inJob(path)
	watch := func(file string, r upload.Report) {
		j.Observe(file, false, func(upload.Event) {})(upload.Finished{Report: r})
	}
	watch("a|b*.bin", upload.Report{
		File: upload.File{Path: "/a", Size: 7_900_000_000}, Parts: 127, PartsReused: 121, Elapsed: 19 * time.Second,
		Verification: "etag", Result: upload.Result{Value: "https://store.example/a?X-Amz-Signature=0123456789abcdef"},
	})
	watch("c.bin", upload.Report{File: upload.File{Path: "/c", Size: 1}, Parts: 1, Result: upload.Result{Value: "c-id"}, Verification: "unverified"})
	j.Failed(Failure{File: "c.bin", Report: upload.Report{File: upload.File{Path: "/c", Size: 1}, Parts: 1}, Code: 74, Message: "stdout is <gone>"}, true)
	j.Failed(Failure{File: "none", Code: 66, Message: "none: no such file"}, true)
	told := ""
	warn := func(s string) { told += s }
	j.Summarize(warn)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const want = `before

| file | size | parts | time | verification | result |
| --- | ---: | ---: | ---: | --- | --- |
| a&#124;b&#42;.bin | 7.9 GB | 127 (121 stored before) | 19s | etag | https&#58;//store.example/a&#63;X-Amz-Signature&#61;… |
| c.bin | 1 B | 1 | 0s | — | ✗ exit code 74&#58; stdout is &#60;gone&#62; |
| none |  |  | 0s | — | ✗ exit code 66&#58; none&#58; no such file |
`
	if string(got) != want || told != "" {
		t.Errorf("got\n%s\nwant\n%s\nand it says %q", got, want, told)
	}

	j, _, _ = inJob(filepath.Dir(path))
	j.Failed(Failure{File: "none", Code: 66}, true)
	j.Summarize(warn)
	if !strings.HasPrefix(told, "the summary of the job cannot be written: ") {
		t.Errorf("of a summary that cannot be written it says %q", told)
	}
}

// A summary has at most a thousand rows, and says what it leaves out.
func TestLongSummary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "summary.md")
	j, _, _ := inJob(path)
	for i := range maxRows + 30 {
		j.Observe(fmt.Sprint(i), true, func(upload.Event) {})(upload.Finished{})
	}
	j.Failed(Failure{File: "none", Code: 66, Message: "no such file"}, true)
	j.Summarize(func(s string) { t.Error(s) })
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if rows := strings.Count(string(got), "\n| ") - 2; rows != maxRows || !strings.HasSuffix(string(got), "\nNot listed: 31 files, 1 of them with an error.\n") {
		t.Errorf("%d rows, and then %q", rows, got[max(0, len(got)-80):])
	}
}
