// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins kube-apiserver, which answers the same requests as gantry-control in upstream_dryrun.py, and kube-scheduler of the same
// module, which gives the same pods their nodes in upstream_scheduler.py; scripts/tools builds them.
package tools
