// SPDX-License-Identifier: Apache-2.0
// The volumes of a pod: made before its first container, found as they are by every later one and after a restart of
// gantryd, and taken down when the pod has ended. One file for each kind; all are where kubelet has them, as what CSI
// drivers, backups and people look for is there:
//
//   POD/                               ROOT/pods/UID
//     volumes/kubernetes.io~KIND/NAME  a volume: a folder, or a mount of ours on it
//     volume-subpaths/                 sub_path.h draws it
//
// Names of volumes are the API's, validated as DNS labels.
//
// prepare() and unmount() block, for as long as what is behind a path does not answer. Any thread; calls for one pod
// are serial.
#pragma once

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "volumes/claims.h"

namespace k8s::io::api::core::v1 {
class Pod;
}

namespace gantry::volumes {

// One that is ready to be mounted into containers.
struct Prepared {
  std::string path;           // on the host
  bool is_read_only = false;  // whatever a container's mount asks for
  bool is_device = false;     // it is a block device, and there is nothing to mount
  std::string image = {};     // instead of a path: the runtime mounts this image, a reference or an id
};
using PreparedVolumes = std::map<std::string, Prepared, std::less<>>;  // by name

// `kind` as in "empty-dir".
std::string volume_folder(std::string_view pod_folder, std::string_view kind, std::string_view name);

// Makes the pod's volumes, or finds them as they were made before, but for those that others write (config_volume.h).
// Errors name the volume, in kubelet's words:
// `MountVolume.SetUp failed for volume "data" : ...`. `passed`, for others to see while this takes long: so many of the
// pod's volumes, in their order, are not waited for any more.
Result<PreparedVolumes> prepare(const k8s::io::api::core::v1::Pod& pod, const std::string& pod_folder,
                                const Claims& claims = {}, std::atomic<int>* passed = nullptr);
// What no two pods may be prepared with at the same time: a local volume is given to the group of the first.
std::set<std::string> shared_places(const Claims& claims);

// Unmounts what the above and sub_path.h mounted for a pod whose folder this is now, and nothing else. Files stay:
// whoever removes them finds no mount of ours in the way.
Status unmount(const std::string& pod_folder);
// And then removes the files, as far as nothing else is mounted beneath: kFailedPrecondition. What is not there is
// fine, and so is a call that was cut short.
Status remove(const std::string& pod_folder);

}  // namespace gantry::volumes
