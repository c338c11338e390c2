// SPDX-License-Identifier: Apache-2.0

//go:build old

package main

import "github.com/containerd/nri/pkg/stub"

func wrapped(p *plugin) any { return p }

func failurePolicy(string) []stub.Option { return nil }
