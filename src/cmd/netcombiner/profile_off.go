//go:build !profile

package main

// profile does nothing but in a daemon built with -tags profile.
func profile() (stop func()) { return func() {} }
