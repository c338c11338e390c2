// SPDX-License-Identifier: Apache-2.0
// How long it takes until a ready image is mounted for a container: recorded as its user, its folders made, and the
// overlay mounted; and the mount alone. pull_mount DATA IMAGE RUNS prints the medians in milliseconds as JSON.
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "bench/measure.h"
#include "images/store.h"

namespace gantry::bench {
namespace {

int run(const std::string& data, const std::string& image, int runs) {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    give_up("no mount namespace of its own");
  auto store = must(images::ImageStore::open(data));
  if (::fchdir(store->store_dir().get()) != 0) give_up("the store's folder");
  const std::string target = data + "/mount";
  std::filesystem::create_directory(target);
  Times all, mounts;
  for (int i = 0; i < runs; ++i) {
    const std::string container = "bench-" + std::to_string(i);
    const auto start = now();
    const auto root = must(store->prepare_root(image, container));
    const auto prepared = now();
    if (::mount("overlay", target.c_str(), "overlay", 0, root.overlay_options().c_str()) != 0) give_up("mount");
    all.push_back(now() - start);
    mounts.push_back(now() - prepared);
    if (::umount2(target.c_str(), 0) != 0) give_up("umount");
    if (auto released = store->release_root(container); !released) give_up(released.error().message());
  }
  std::printf("{\"prepare_and_mount\": %.3f, \"mount\": %.3f}\n", median(all), median(mounts));
  return 0;
}

}  // namespace
}  // namespace gantry::bench

int main(int argc, char** argv) {
  if (argc != 4) gantry::bench::give_up("pull_mount DATA IMAGE RUNS");
  return gantry::bench::run(argv[1], argv[2], std::atoi(argv[3]));
}
