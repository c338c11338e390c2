// SPDX-License-Identifier: Apache-2.0
// The folders of one node, as a drawing and functions; nobody else joins these names.
//
//   /run/gantry/                 0700, tmpfs: what ends with the boot
//     gantryd.lock               flock: one gantryd a folder
//     gantryd.sock               CRI
//     instance                   whose kernel objects live in this boot
//     sandboxes/ID/              one pod: shim.sock, records (base/records.h)
//   /var/lib/gantry/             0700, disk: what outlives it
//     gantryd.lock
//     gantry.db                  base/database.h (with -wal and -shm beside it)
//     instance                   this node's instance id, the mark on all that it makes
//     sandboxes/ID/              one pod: resolv.conf, hosts, hostname
//       checkpoint-ID/           a checkpoint of a container that is under way; flock: held while its worker lives
//     local-volumes/             persistent volumes that this node makes (volumes/local_folder.h)
//     store/                     images (images/store.h has the rest of it)
//       l/SHORT/                 a layer, unpacked
//       c/SHORT/{u,w}/           a container: overlay's upper and work folders
//
// Names in store/ are a few characters because overlay's mount options are one page (and 255 bytes a value by
// fsconfig). Ids are checked by check_name() (base/records.h).
#pragma once

#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry {

// The names. A value; says nothing about what is there.
class Layout {
 public:
  Layout() : Layout("/run/gantry", "/var/lib/gantry") {}
  Layout(std::string run_root, std::string lib_root) : run_(std::move(run_root)), lib_(std::move(lib_root)) {}

  const std::string& run() const { return run_; }
  const std::string& lib() const { return lib_; }
  std::string socket() const { return run_ + "/gantryd.sock"; }
  std::string run_sandboxes() const { return run_ + "/sandboxes"; }
  std::string run_sandbox(std::string_view id) const { return run_sandboxes().append("/").append(id); }
  std::string shim_socket(std::string_view id) const { return run_sandbox(id) + "/" + std::string(kShimSocket); }
  std::string database() const { return lib_ + "/gantry.db"; }
  std::string lib_sandboxes() const { return lib_ + "/sandboxes"; }
  std::string lib_sandbox(std::string_view id) const { return lib_sandboxes().append("/").append(id); }
  std::string store() const { return lib_ + "/store"; }
  // Relative to store().
  static std::string layer(std::string_view short_name) { return std::string("l/").append(short_name); }
  static std::string container(std::string_view short_name) { return std::string("c/").append(short_name); }

  static constexpr std::string_view kShimSocket = "shim.sock";
  static constexpr std::string_view kResolvConf = "resolv.conf";
  static constexpr std::string_view kHosts = "hosts";
  static constexpr std::string_view kHostname = "hostname";

 private:
  std::string run_, lib_;
};

// The folders of a Layout, made (mode 0700, owned by us) and open. All descriptors are O_PATH.
class NodeFolders {
 public:
  // Makes what is missing, also the roots and the folders above them. A root that is there already and that others may
  // write to, or that belongs to somebody else, is refused by name.
  static Result<NodeFolders> open(Layout layout);

  // Takes both roots for this process until it ends (flock on gantryd.lock; the pid in it is for people). When another
  // gantryd has one: kFailedPrecondition, naming the folder and that pid; what one that was killed left behind is waited
  // for, some seconds. Short programs that share the store don't
  // lock.
  Status lock();

  const Layout& layout() const { return layout_; }
  FdRef run() const { return run_; }
  FdRef lib() const { return lib_; }
  FdRef store() const { return store_; }
  FdRef store_layers() const { return layers_; }
  FdRef store_containers() const { return containers_; }
  FdRef run_sandboxes() const { return run_sandboxes_; }
  FdRef lib_sandboxes() const { return lib_sandboxes_; }

  // A pod's folders: made if they are not there, or opened (is_not_found() when it is not). They are removed with
  // sys::remove_tree(run_sandboxes(), id).
  Result<DirFd> make_run_sandbox(std::string_view id) const;
  Result<DirFd> open_run_sandbox(std::string_view id) const;
  Result<DirFd> make_lib_sandbox(std::string_view id) const;
  Result<DirFd> open_lib_sandbox(std::string_view id) const;

  // The instance id: 16 hex digits, made at the first start and kept in both roots.
  struct Instance {
    std::string id;
    // The folder on disk had none: it is new or was emptied. If the boot's folder knew one, `id` is that one.
    bool new_store = false;
    // The boot's folder named another instance than the disk does (somebody else's store was put here): its id. Then
    // the boot's file is left as it is.
    std::string stranger;
  };
  // After lock().
  Result<Instance> instance() const;

 private:
  explicit NodeFolders(Layout layout) : layout_(std::move(layout)) {}
  Layout layout_;
  DirFd run_, lib_, store_, layers_, containers_, run_sandboxes_, lib_sandboxes_;
  OwnFd run_lock_, lib_lock_;
};

}  // namespace gantry
