package progress

import (
	"fmt"
	"strings"
)

// titles is what is shown outside of the text of a terminal: in its title, and
// on the taskbar.
type titles struct {
	titled, taskbar bool
	shown           string // the sequences that were written last; empty: none
}

// The title that was there before is kept by the terminal, and put back.
const (
	keepTitle    = "\x1b[22;0t"
	restoreTitle = "\x1b[23;0t"
	clearTaskbar = "\x1b]9;4;0;0\x07"
)

// show gives the sequences that show how far it is, if that changed.
func (w *titles) show(percent int, name string, failing bool) string {
	var s strings.Builder
	if w.titled {
		fmt.Fprintf(&s, "\x1b]0;%d%% %s\x07", percent, name)
	}
	if w.taskbar {
		state := 1
		if failing {
			state = 4 // a warning: yellow
		}
		fmt.Fprintf(&s, "\x1b]9;4;%d;%d\x07", state, percent)
	}
	now := s.String()
	if now == w.shown {
		return ""
	}
	if w.shown == "" && w.titled {
		s.Reset()
		s.WriteString(keepTitle + now)
	}
	w.shown = now
	return s.String()
}

// restore returns the sequences that restore the title.
func (w *titles) restore() string {
	if w.shown == "" {
		return ""
	}
	w.shown = ""
	s := ""
	if w.titled {
		s += restoreTitle
	}
	if w.taskbar {
		s += clearTaskbar
	}
	return s
}
