package main

import (
	"strconv"
	"strings"
)

// titled are the kinds of terminals, by the beginning of TERM, that keep their
// title (CSI 22;0t) and put it back (CSI 23;0t).
var titled = []string{"xterm", "rxvt", "foot", "alacritty", "mintty", "contour", "wezterm", "vte", "gnome", "konsole"}

// hasTitle reports whether a terminal has a title that can be set and put back.
func hasTitle(getenv func(string) string) bool {
	if getenv("WT_SESSION") != "" {
		return true
	}
	for _, kind := range titled {
		if strings.HasPrefix(getenv("TERM"), kind) {
			return true
		}
	}
	return false
}

// hasTaskbar reports whether a terminal is known to take OSC 9;4 as progress.
// Others show its text as a notification, so that it is not sent on a guess.
func hasTaskbar(getenv func(string) string) bool {
	if strings.HasPrefix(getenv("TERM"), "tmux") || strings.HasPrefix(getenv("TERM"), "screen") {
		return false
	}
	if getenv("WT_SESSION") != "" || getenv("ConEmuANSI") == "ON" {
		return true
	}
	switch getenv("TERM_PROGRAM") {
	case "ghostty", "WezTerm", "vscode":
		return true
	}
	vte, err := strconv.Atoi(getenv("VTE_VERSION"))
	return err == nil && vte >= 7900
}
