package main

import (
	"cmp"
	"net/url"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/transport"
)

// screen describes where messages go.
type screen struct {
	terminal bool       // whether it is one that can move its cursor
	ascii    bool       // whether it shows nothing else for certain
	width    func() int // in columns; nil: not known
	plain    bool       // whether the user wants no color
	title    bool       // whether it has a title that can be set, and put back
	taskbar  bool       // whether it shows progress in a taskbar or a tab

	foreground func() bool // whether it is ours to draw on
}

// screenOf looks at a file and at the user's variables.
func screenOf(f *os.File) screen {
	fd := int(f.Fd())
	s := screen{terminal: term.IsTerminal(fd) && os.Getenv("TERM") != "dumb", plain: os.Getenv("NO_COLOR") != ""}
	s.foreground = func() bool { return inForeground(fd) }
	s.title, s.taskbar = s.terminal && hasTitle(os.Getenv), s.terminal && hasTaskbar(os.Getenv)
	s.width = func() int {
		width, _, err := term.GetSize(fd)
		if err != nil {
			return 0
		}
		return width
	}
	// On Windows the console is written to in UTF-16, whatever the locale.
	locale := strings.ToLower(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	s.ascii = runtime.GOOS != "windows" && !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8")
	return s
}

// watch gives the display of the uploads of some files. Until it is closed, all
// that is said on stderr goes through it.
func (a *app) watch(cfg config.Config, files []input) (d *progress.Display, close func()) {
	a.color = a.colored(cfg.Color)
	o := progress.Options{
		Style: a.style(cfg), Hint: warningHint, Verbose: cfg.Verbose > 0, Color: a.color,
		ASCII: a.screen.ascii, Width: a.screen.width, Files: len(files), Paths: len(files) > 0 && files[0].walked,
		Title: a.screen.title, Taskbar: a.screen.taskbar, Active: a.screen.foreground,
	}
	if len(files) > 1 {
		for _, file := range files {
			if info, err := os.Stat(file.path); err == nil && info.Mode().IsRegular() {
				o.Bytes += info.Size()
			}
		}
	}
	stderr := a.stderr
	t := progress.NewAsync(stderr)
	d = progress.New(t, o)
	a.stderr, a.flush, a.display = d, t.Flush, d
	stay := func() {}
	if o.Style == progress.Bar && len(files) > 0 {
		stay = suspendable(d, t.Flush)
		a.drawn.Store(&drawn{d, t.Flush})
	}
	return d, func() {
		stay()
		a.drawn.Store(nil)
		d.Close()
		t.Close()
		a.stderr, a.display = stderr, nil
	}
}

// watching gives the display that is there, or else one for what is about no file.
func (a *app) watching(cfg config.Config) (d *progress.Display, close func()) {
	if a.display != nil {
		return a.display, func() {}
	}
	return a.watch(cfg, nil)
}

// drawn is a bar on a terminal, and what writes it there.
type drawn struct {
	display *progress.Display
	flush   func()
}

// releaseTerminal takes the bar away, as the program ends at once.
func (a *app) releaseTerminal() {
	if d := a.drawn.Load(); d != nil {
		d.display.Release()
		d.flush()
	}
}

// colored says whether messages have colors.
func (a *app) colored(when string) bool {
	return when == "always" || when != "never" && a.screen.terminal && !a.screen.plain
}

// hostOf is the host of a base URL, for people.
func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return transport.Visible(u.Host)
}

// aside writes to stdout with no bar in the way. Elsewhere than on a terminal
// the write may take its time, and the display must not wait for it.
func (a *app) aside(d *progress.Display, write func() error) error {
	if !a.shown {
		return write()
	}
	return d.Aside(func() error {
		a.flush() // the bar is to be gone before the line comes
		return write()
	})
}

// style shows progress as the user wants it, or as suits where it goes.
func (a *app) style(cfg config.Config) progress.Style {
	switch style := progress.Style(cfg.Progress); {
	case cfg.Quiet:
		return progress.None
	case style == progress.Bar && !a.screen.terminal:
		return progress.Plain // a log is not drawn in
	case style != "auto" && style != "":
		return style
	case a.json && !a.screen.terminal:
		return progress.Warnings // only objects: a program reads them
	case a.screen.terminal:
		return progress.Bar
	}
	return progress.Plain
}
