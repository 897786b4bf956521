package progress

import (
	"fmt"
	"io"
	"strings"

	"github.com/schollz/progressbar/v3"
)

// tones are what a bar is drawn with: what is stored, what is in flight, and the
// rest.
type tones struct{ stored, sending, rest string }

var (
	blocks = tones{"█", "▓", "░"}
	ascii  = tones{"#", "=", "."}
)

// picture is a bar of so many columns, without its ends: how much of all was
// sent, and of that how much is stored. progressbar draws one character; the second
// one is laid over it.
func (t tones) picture(stored, sent, all int64, width int, color bool) string {
	if width <= 0 {
		return ""
	}
	p := progressbar.NewOptions64(max(1, all),
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: t.sending, SaucerHead: t.sending, SaucerPadding: t.rest, BarStart: "|", BarEnd: "|"}),
		progressbar.OptionSetWidth(width),
	)
	p.Set64(min(sent, max(1, all))) //nolint:errcheck // it is at most all, and nothing is written
	p.RenderBlank()                 //nolint:errcheck // nothing is written
	_, bar, _ := strings.Cut(p.String(), "|")
	bar, _, _ = strings.Cut(bar, "|")
	n := min(int(float64(stored)/float64(max(1, all))*float64(width)), strings.Count(bar, t.sending))
	bar = strings.Replace(bar, t.sending, "", n)
	sending := strings.Count(bar, t.sending)
	rest := strings.Count(bar, t.rest)
	return fmt.Sprintf("%s%s%s", Paint(color, Green, strings.Repeat(t.stored, n)),
		Paint(color, Yellow, strings.Repeat(t.sending, sending)), strings.Repeat(t.rest, rest))
}
