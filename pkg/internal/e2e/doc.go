// Package e2e holds the tests that run multiput as a process of its own, as
// users do: scripts, kills, signals, terminals and broken networks.
package e2e
