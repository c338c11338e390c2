// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins kube-apiserver, which answers the same requests as gantry-control in upstream_dryrun.py; scripts/tools builds it.
package tools
