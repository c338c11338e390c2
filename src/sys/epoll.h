// SPDX-License-Identifier: Apache-2.0
// epoll(7) and timerfd_create(2) for the rare waits that a loop's Watch can't express (EPOLLPRI of kernfs files): an
// epoll descriptor is itself readable when one of its members is ready.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>

#include "base/owned_fd.h"
#include "base/result.h"

namespace gantry::sys {

Result<OwnFd> epoll_create();
// EPOLL_CTL_ADD, level-triggered: `events` is EPOLLIN, EPOLLPRI, ...
Status epoll_add(FdRef epoll, FdRef member, std::uint32_t events);
// A descriptor that is readable once `delay` (at least one nanosecond) has passed, by the monotonic clock.
Result<OwnFd> timer_fd(std::chrono::nanoseconds delay);
// pread(2) from the file's beginning, at most `size` bytes: how a kernfs file is read again.
Result<std::size_t> pread_start(FdRef fd, void* buffer, std::size_t size);

}  // namespace gantry::sys
