package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/sandbox"
)

var update = flag.Bool("update", false, "write the golden files")

// allCommands are all that the help shows, by their paths.
func allCommands() (paths []string, all map[string]*cobra.Command) {
	a := newApp()
	all = map[string]*cobra.Command{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" {
			return
		}
		paths = append(paths, c.CommandPath())
		all[c.CommandPath()] = c
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(a.root())
	return paths, all
}

// The help of each command is what testdata/help has.
// go test ./cmd/multiput -run TestHelp -update writes it.
func TestHelp(t *testing.T) {
	dir := filepath.Join("..", "..", "testdata", "help")
	paths, _ := allCommands()
	var files []string
	for _, path := range paths {
		if strings.HasPrefix(path, "multiput completion ") {
			continue // they are cobra's
		}
		var out bytes.Buffer
		a := newApp()
		a.stdout = &out
		if code := a.run(t.Context(), append(strings.Fields(path)[1:], "--help")); code != 0 {
			t.Errorf("%s --help: exit code %d", path, code)
		}
		file := strings.ReplaceAll(path, " ", "-") + ".txt"
		files = append(files, file)
		if *update {
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, file), out.Bytes(), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != strings.ReplaceAll(string(want), "\r\n", "\n") {
			t.Errorf("the help of %s is no longer %s; with -update it becomes:\n%s", path, file, got)
		}
	}
	there, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if !slices.Contains(files, filepath.Base(path)) {
			t.Errorf("%s is the help of no command", path)
		}
	}
}

// Every flag is in one of five groups, placeholders say what is meant, and texts fit
// a terminal of 80 columns.
func TestFlagGroups(t *testing.T) {
	paths, all := allCommands()
	for _, path := range paths {
		c := all[path]
		for _, line := range strings.Split(c.Long, "\n") {
			if len([]rune(line)) > 80 && !strings.HasPrefix(path, "multiput completion ") { // which are cobra's
				t.Errorf("the help of %s has a line of more than 80 columns: %s", path, line)
			}
		}
		c.InheritedFlags() // merges them
		c.Flags().VisitAll(func(f *pflag.Flag) {
			what, _ := pflag.UnquoteUsage(f)
			if takes := f.NoOptDefVal == ""; takes && slices.Contains([]string{"", "string", "int", "duration", "count", "stringArray"}, what) {
				t.Errorf("%s --%s does not say what it takes", path, f.Name)
			}
			if groupOf(f) == "" {
				t.Errorf("%s --%s is in no group", path, f.Name)
			}
		})
		for _, name := range globalFlags[path] {
			if c.InheritedFlags().Lookup(name) == nil {
				t.Errorf("%s has no global flag --%s", path, name)
			}
		}
	}
	for path := range globalFlags {
		if all[path] == nil && path != "multiput help" {
			t.Errorf("there is no command %s", path)
		}
	}
}

// The help lists every page for users, and shows each.
func TestTopics(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	help := helpOf(t)
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		title, _, _ := strings.Cut(strings.TrimPrefix(string(b), "# "), "\n")
		if !strings.Contains(help, "  "+name+" ") && !slices.Contains(forDevelopers, name) {
			t.Errorf("the help does not list %s", name)
		}
		text := helpOf(t, "help", name)
		if !strings.Contains(text, "# "+strings.TrimSpace(title)+"\n") {
			t.Errorf("help %s does not show the page:\n%.200s", name, text)
		}
		if m := regexp.MustCompile(`\]\([a-z/.#-]+\)`).FindString(text); m != "" {
			t.Errorf("help %s has a link to a file: %s", name, m)
		}
	}
	for _, name := range []string{"sandbox", "manifest"} {
		if text := helpOf(t, "help", name); strings.Contains(text, "Usage:") != (name == "sandbox") {
			t.Errorf("help %s:\n%.200s", name, text)
		}
	}
}

func helpOf(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	a := newApp()
	a.stdout = &out
	if code := a.run(t.Context(), append([]string{}, args...)); code != 0 { // nil would be the test's own
		t.Fatalf("%v: exit code %d", args, code)
	}
	return out.String()
}

// What the Go toolchain records says which version it is, where no release
// build does.
func TestVersionFromBuild(t *testing.T) {
	for _, c := range []struct {
		module                string
		settings              map[string]string
		version, commit, date string
	}{
		{"v1.4.2", nil, "v1.4.2", "", ""},
		{"v0.0.0-20261103104500-5f0d3e9a7b21", nil, "v0.0.0-20261103104500-5f0d3e9a7b21", "5f0d3e9a7b21", ""},
		{"v1.5.1-0.20261103104500-5f0d3e9a7b21+dirty", nil, "v1.5.1-0.20261103104500-5f0d3e9a7b21+dirty", "5f0d3e9a7b21", ""},
		{"(devel)", nil, "dev", "", ""},
		{"", nil, "dev", "", ""},
		{"(devel)", map[string]string{"vcs.revision": "abc", "vcs.time": "2026-11-03T10:45:00Z"}, "dev", "abc", "2026-11-03T10:45:00Z"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: c.module}}
		for k, v := range c.settings {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: k, Value: v})
		}
		if v, com, date := fromBuild(info); v != c.version || com != c.commit || date != c.date {
			t.Errorf("%s: %q, %q, %q", c.module, v, com, date)
		}
	}
}

// notRun are lines of examples that this test cannot run as they stand.
var notRun = map[string]string{
	"multiput sandbox --api openai --listen 127.0.0.1:8080": "it serves until Ctrl-C; testdata/script/sandbox.txtar has it",
}

// Every example of every command runs as it stands, where the files that it
// names are there, and the APIs that it names are played on this machine.
func TestExamplesRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the examples are for a shell")
	}
	paths, all := allCommands()
	skipped := 0
	for _, path := range paths {
		c := all[path]
		if strings.HasPrefix(path, "multiput completion") {
			continue // they are cobra's, and write into the user's shell
		}
		if c.Example == "" {
			t.Errorf("%s has no example", path)
		}
		if c.Short == "" || c.Runnable() && c.Long == "" {
			t.Errorf("%s does not say what it does", path)
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if notRun[line] != "" {
				skipped++
				continue
			}
			t.Run(strings.ReplaceAll(line, "/", "|"), func(t *testing.T) {
				t.Parallel()
				example(t, line)
			})
		}
	}
	if skipped != len(notRun) {
		t.Errorf("%d lines of examples are left out, and %d are excused", skipped, len(notRun))
	}
}

// mine is a manifest of one's own for an API that is the sandbox's file.ai.
const mine = "my-api.yaml"

// someID is the id of an upload in an example.
const someID = "1a2b3c4d"

func example(t *testing.T, line string) {
	dir := t.TempDir()
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "NO_PROXY=*",
		"XDG_STATE_HOME=" + filepath.Join(dir, "state"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"),
	}
	for _, api := range sandbox.APIs() {
		s := &sandbox.Server{API: api, Dir: filepath.Join(dir, "served", api), Key: "key-of-" + api}
		base, stop, err := s.Start(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = stop() })
		m, err := provider.Load(api)
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, m.KeyEnv()+"="+s.Key, "MULTIPUT_"+strings.ToUpper(api)+"_BASE_URL="+base)
		if api == "upscayl" {
			own, err := os.ReadFile(filepath.Join("..", "..", "pkg", "provider", "builtin", "upscayl.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer("name: upscayl", "name: my-api", "UPSCAYL_API_KEY", "MY_API_KEY").Replace(string(own))
			text = regexp.MustCompile(`(?m)^base: .*$`).ReplaceAllString(text, "base: "+base)
			if err := os.WriteFile(filepath.Join(dir, mine), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			env = append(env, "MY_API_KEY="+s.Key)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "photos"), 0o700), os.WriteFile(filepath.Join(dir, "photos", "1.jpg"), []byte("photo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	made := strings.ReplaceAll(line, ".plan", ".bin")
	for _, word := range regexp.MustCompile(`[a-z]+\.(bin|jsonl|mp4|tar|pdf|csv)\b`).FindAllString(made, -1) {
		if err := os.WriteFile(filepath.Join(dir, word), bytes.Repeat([]byte("multiput\n"), 50_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Programs that stand in for the user's own, and the user's profile.
	bin := filepath.Join(dir, "bin")
	own := filepath.Join(dir, "config", "multiput")
	if err := errors.Join(
		os.MkdirAll(bin, 0o700), os.WriteFile(filepath.Join(bin, "pass"), []byte("#!/bin/sh\necho sk-of-no-user\n"), 0o700),
		os.MkdirAll(own, 0o700), os.WriteFile(filepath.Join(own, "config.yaml"), []byte("profiles: {work: {provider: openai}}\n"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	env = append(env, "PATH="+bin+":"+os.Getenv("PATH"), "EDITOR=true", keyringEnv+"=1", "DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere")
	if strings.Contains(line, "s3://") {
		env = append(env, "AWS_ENDPOINT_URL_S3="+bucketOf(t), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret")
	}
	if strings.HasPrefix(line, "multiput login ") {
		line = "pass show something | " + line
	}
	run := func(line string, more ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", line)
		cmd.Dir, cmd.Env = dir, slices.Concat(env, more)
		return cmd.CombinedOutput()
	}
	if strings.Contains(line, someID) {
		to := "archetype"
		if strings.Contains(line, mine) {
			to = "./" + mine
		}
		if err := os.WriteFile(filepath.Join(dir, "killed.bin"), []byte("multiput"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := run("multiput upload killed.bin -p "+to, killEnv+"=receipt=1+"); err == nil {
			t.Fatalf("it was not killed:\n%s", out)
		}
		id, err := run("multiput list --jq '.uploads[].id'")
		if err != nil {
			t.Fatalf("%v\n%s", err, id)
		}
		line = strings.ReplaceAll(line, someID, strings.TrimSpace(string(id)))
	}
	if strings.Contains(line, "big.plan") {
		for _, first := range []string{"multiput plan big.bin -p archetype -o big.plan", "multiput put big.plan big.bin -o 1.receipts"} {
			if out, err := run(first); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
	out, err := run(line)
	if err != nil || strings.Contains(string(out), "did not happen") {
		t.Errorf("%v\n%s", err, out)
	}
}

// bucketOf is the URL of a store whose bucket has one unfinished upload.
func bucketOf(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		case r.URL.Query().Has("uploads"):
			fmt.Fprint(w, `<ListMultipartUploadsResult><Upload><Key>big.bin</Key><UploadId>2~Vn0aY5</UploadId><Initiated>2026-11-01T10:00:00Z</Initiated></Upload></ListMultipartUploadsResult>`)
		default:
			fmt.Fprint(w, `<ListPartsResult><Part><PartNumber>1</PartNumber><Size>5242880</Size><ETag>"e"</ETag></Part></ListPartsResult>`)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Scripts for each shell come out, and bash, where it is there, can read its own.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		var out bytes.Buffer
		a := newApp()
		a.stdout = &out
		if code := a.run(t.Context(), []string{"completion", shell}); code != 0 || !strings.Contains(out.String(), "__complete") {
			t.Errorf("%s: exit code %d, %d bytes", shell, code, out.Len())
		}
		path, err := exec.LookPath(shell)
		if err != nil || shell == "powershell" {
			continue
		}
		cmd := exec.CommandContext(t.Context(), path, "-n")
		cmd.Stdin = &out
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s does not take it: %v\n%s", shell, err, said)
		}
	}
}

// Each command and each page of the documentation becomes a manual page, whose
// references are to manual pages.
func TestManualPages(t *testing.T) {
	dir, docs := t.TempDir(), filepath.Join("..", "..", "docs")
	a := newApp()
	if code := a.run(t.Context(), []string{"man", dir}); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	paths, _ := allCommands()
	var want []string
	for _, path := range paths {
		want = append(want, strings.ReplaceAll(path, " ", "-")+".1")
	}
	pages, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		want = append(want, "multiput-"+strings.TrimSuffix(filepath.Base(page), ".md")+".7")
	}
	link := regexp.MustCompile(`\\\[la\][^ ]*\.md|multiput-([a-z-]+)\\fP\(7\)`)
	for _, name := range want {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Contains(b, []byte(".SH NAME")) || !bytes.Contains(b, []byte(".TH ")) {
			t.Errorf("%s is not a manual page:\n%.300s", name, b)
		}
		for _, l := range link.FindAllSubmatch(b, -1) {
			if len(l[1]) == 0 || !slices.Contains(want, "multiput-"+string(l[1])+".7") {
				t.Errorf("%s refers to %s, which is not a manual page", name, l[0])
			}
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != len(want) {
		t.Errorf("%d pages, want %d (%v)", len(entries), len(want), err)
	}
}

// The examples of docs/troubleshooting.md run, and it has a row forevery check
// and every exit code.
func TestTroubleshooting(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Glob("doctor*.go")
	if err != nil {
		t.Fatal(err)
	}
	checks := map[string]bool{}
	for _, path := range source {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\b(?:good|warn|bad|failing)\("([a-z]+)"`).FindAllSubmatch(b, -1) {
			checks[string(m[1])] = true
		}
	}
	if len(checks) < 10 {
		t.Errorf("only %d checks were found", len(checks))
	}
	for check := range checks {
		if !regexp.MustCompile("(?m)^\\|.*`" + check + "`.*\\|.*\\|$").Match(text) {
			t.Errorf("there is no row for the check %s", check)
		}
	}
	for _, code := range append([]int{130, 143}, urgency...) {
		if code != 0 && !regexp.MustCompile(`(?m)^\| ([0-9]+, )*`+strconv.Itoa(code)+`(, [0-9]+)* \|`).Match(text) {
			t.Errorf("there is no row for exit code %d", code)
		}
	}
	if runtime.GOOS == "windows" {
		t.Skip("the examples are for a shell")
	}
	examples := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) < 4 {
		t.Fatalf("it has %d examples", len(examples))
	}
	for _, e := range examples {
		t.Run("", func(t *testing.T) { example(t, string(e[1])) })
	}
}
