package main

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

func inJob(env map[string]string) (*actions, *strings.Builder, *guard) {
	var out strings.Builder
	if env == nil {
		env = map[string]string{}
	}
	env["GITHUB_ACTIONS"] = "true"
	j := jobOf(func(k string) string { return env[k] })
	return j, &out, j.guard(&out).(*guard)
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
		_, out, g := inJob(nil)
		fmt.Fprint(g, text)
		if found := commands(out.String()); found != nil {
			t.Errorf("%q becomes %q", text, found)
		}
		whole := out.String()
		_, out, g = inJob(nil)
		for i := range len(text) {
			fmt.Fprint(g, text[i:i+1])
		}
		if out.String() != whole {
			t.Errorf("%q, byte by byte, becomes %q", text, out.String())
		}
	}
	_, out, g := inJob(nil)
	const harmless = "a::b: 50% (1 of 2)\n# [x] c :: d\nhttps://[::1]:80\n"
	fmt.Fprint(g, harmless)
	if out.String() != harmless {
		t.Errorf("%q becomes %q", harmless, out.String())
	}
}

func FuzzGuard(f *testing.F) {
	f.Add("  ::error::x\n##[debug]\r::a::")
	f.Fuzz(func(t *testing.T, text string) {
		_, out, g := inJob(nil)
		fmt.Fprint(g, text)
		if found := commands(out.String()); found != nil {
			t.Errorf("%q becomes %q", text, found)
		}
	})
}

// An annotation is one command, whatever the file is called and the server says.
func TestAnnotations(t *testing.T) {
	j, out, _ := inJob(nil)
	const file, message = "a,b:c%\n::warning::d##[e]", "100%\r\n::set-env name=PATH::x##[y]"
	j.failed(failure{err: errors.New(""), file: file}, false, 1, message, "try\nagain")
	want := "::error file=a%2Cb%3Ac%25%0A%3A%3Awarning%3A%3Ad## [e],title=multiput::100%25%0D%0A::set-env name=PATH::x## [y]%0Ahint: try%0Aagain\n"
	if out.String() != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
	out.Reset()
	j.observe("a.bin", false, func(upload.Event) {})(upload.AbortFailed{Upload: "u0", Err: errors.New("odd\n::error::x")})
	if found := commands(out.String()); len(found) != 1 || found[0] != "::warning file=a.bin,title=multiput::could not abort upload u0 at the provider: odd ::error::x" {
		t.Errorf("a warning is %q", found)
	}
	out.Reset()
	j.observe("a.bin", true, func(upload.Event) {})(upload.AbortFailed{Upload: "u0", Err: errors.New("odd")})
	j.failed(failure{err: errors.New("")}, true, 1, message, "")
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
	j, _, _ := inJob(map[string]string{"GITHUB_STEP_SUMMARY": path})
	watch := func(file string, r upload.Report) {
		j.observe(file, false, func(upload.Event) {})(upload.Finished{Report: r})
	}
	watch("a|b*.bin", upload.Report{
		File: upload.File{Path: "/a", Size: 7_900_000_000}, Parts: 127, PartsReused: 121, Elapsed: 19 * time.Second,
		Verification: "etag", Result: upload.Result{Value: "https://store.example/a?X-Amz-Signature=0123456789abcdef"},
	})
	watch("c.bin", upload.Report{File: upload.File{Path: "/c", Size: 1}, Parts: 1, Result: upload.Result{Value: "c-id"}, Verification: "unverified"})
	j.failed(failure{file: "c.bin", report: upload.Report{File: upload.File{Path: "/c", Size: 1}, Parts: 1}}, true, 74, "stdout is <gone>", "")
	j.failed(failure{file: "none"}, true, 66, "none: no such file", "")
	told := ""
	warn := func(s string) { told += s }
	j.summarize(warn)
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

	j, _, _ = inJob(map[string]string{"GITHUB_STEP_SUMMARY": filepath.Dir(path)})
	j.failed(failure{file: "none"}, true, 66, "", "")
	j.summarize(warn)
	if !strings.HasPrefix(told, "the summary of the job cannot be written: ") {
		t.Errorf("of a summary that cannot be written it says %q", told)
	}
}
