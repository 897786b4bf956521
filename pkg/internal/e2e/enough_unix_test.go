//go:build unix

package e2e

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// What only tells something ends well, and silently, when the reader of its output
// has seen enough. A result is another matter: see TestClosedPipes.
func TestReaderClosesThePipe(t *testing.T) {
	t.Parallel()
	r := newRig(t, "upscayl", 64<<10)
	file, second := r.file(t, 1000), r.dir+"/second.bin"
	must(t, os.WriteFile(second, []byte("second"), 0o600))
	if _, messages, code := r.said(t, "upload", file, "-p", "upscayl"); code != 0 {
		t.Fatalf("exit code %d: %s", code, messages)
	}
	id, _, _ := r.said(t, "list", "--all", "--jq", ".uploads[].id")
	for _, line := range []string{
		"upload --dry-run -p upscayl FILE SECOND", "upload --dry-run --json -p upscayl FILE SECOND", "upload --dry-run --jq .file -p upscayl FILE SECOND",
		"list --all", "list --all --json", "show ID", "show ID --json", "provider list", "provider list --json", "provider show openai", "provider check openai",
		"config show", "config path", "doctor -p upscayl", "version", "--version", "--help", "upload --help", "help scripts", "completion bash", "prune --json",
	} {
		args := strings.Fields(strings.NewReplacer("FILE", file, "SECOND", second, "ID", strings.TrimSpace(id)).Replace(line))
		reader, writer, err := os.Pipe()
		must(t, err)
		must(t, reader.Close())
		cmd := r.command(t, args...)
		var messages bytes.Buffer
		cmd.Stdout, cmd.Stderr = writer, &messages
		err = cmd.Run()
		must(t, writer.Close())
		if said := messages.String(); err != nil || strings.Contains(said, "pipe") {
			t.Errorf("%s: %v: %s", line, err, said)
		}
	}
}
