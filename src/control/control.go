// Package control is the daemon's control socket: one JSON request a line,
// one JSON answer a line, on a Unix socket of mode 0600.
package control
