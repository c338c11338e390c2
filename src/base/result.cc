// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace gantry {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::kOk:
      return "OK";
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kUnknown:
      return "UNKNOWN";
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kAlreadyExists:
      return "ALREADY_EXISTS";
    case Code::kPermissionDenied:
      return "PERMISSION_DENIED";
    case Code::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case Code::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case Code::kAborted:
      return "ABORTED";
    case Code::kOutOfRange:
      return "OUT_OF_RANGE";
    case Code::kUnimplemented:
      return "UNIMPLEMENTED";
    case Code::kInternal:
      return "INTERNAL";
    case Code::kUnavailable:
      return "UNAVAILABLE";
    case Code::kDataLoss:
      return "DATA_LOSS";
    case Code::kUnauthenticated:
      return "UNAUTHENTICATED";
  }
  return "UNKNOWN";
}

Code code_from_errno(int error) {
  switch (error) {
    case 0:
      return Code::kOk;
    case ENOENT:
    case ENOTDIR:
    case ESRCH:
    case ENODEV:
    case ENXIO:
      return Code::kNotFound;
    case EEXIST:
      return Code::kAlreadyExists;
    case EPERM:
    case EACCES:
    case EROFS:
      return Code::kPermissionDenied;
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case E2BIG:
      return Code::kInvalidArgument;
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case EUSERS:
    case ENOBUFS:
    case ETOOMANYREFS:
      return Code::kResourceExhausted;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::kUnimplemented;
    case EBUSY:
    case ENOTEMPTY:
    case ECHILD:
    case ENOEXEC:
      return Code::kFailedPrecondition;
    case ETIMEDOUT:
      return Code::kDeadlineExceeded;
    case ECANCELED:
      return Code::kCancelled;
    case EAGAIN:
    case ECONNREFUSED:
    case ECONNRESET:
    case ENOTCONN:
    case EPIPE:
      return Code::kUnavailable;
    case ERANGE:
    case EOVERFLOW:
      return Code::kOutOfRange;
    default:
      return Code::kInternal;
  }
}

Error Error::from_errno(int error, std::string_view what) {
  // strerrordesc_np is a table look-up: no locale, no shared buffer, safe in any thread and in a forked child.
  const char* text = strerrordesc_np(error);
  std::string message;
  message.reserve(what.size() + 48);
  message.append(what).append(": ").append(text != nullptr ? text : "unknown error");
  Error result(code_from_errno(error), std::move(message));
  result.sys_ = error;
  return result;
}

Error Error::with_context(std::string_view what) && {
  std::string message;
  message.reserve(what.size() + 2 + message_.size());
  message.append(what).append(": ").append(message_);
  message_ = std::move(message);
  return std::move(*this);
}

Error Error::with_context(std::string_view what) const& { return Error(*this).with_context(what); }

Error Error::with_code(Code code) && {
  code_ = code;
  return std::move(*this);
}

bool Error::is_gone() const {
  return sys_ == ESRCH || sys_ == EPIPE || sys_ == ECONNRESET || sys_ == ECONNREFUSED || sys_ == ENODEV ||
         sys_ == ENOTCONN;
}

bool Error::is_would_block() const { return sys_ == EAGAIN; }

}  // namespace gantry
