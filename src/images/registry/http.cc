// SPDX-License-Identifier: Apache-2.0
#include "images/registry/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <optional>

#include "images/text.h"
#include "sys/file.h"

namespace gantry::images {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxHeadBytes = 64 << 10;
constexpr std::size_t kMaxRefusalBytes = 1024;
constexpr std::size_t kMaxRefusalRead = 64 << 10;
constexpr std::uint64_t kLeastBytesPerSecond = 1024;
constexpr long kReceiveBuffer = 256 << 10;
constexpr std::chrono::milliseconds kConnectLimit(30'000);

struct ListDeleter {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, ListDeleter>;

// One request under way. The callbacks are called by libcurl on our thread, inside of perform().
class Transfer {
 public:
  Transfer(const HttpRequest& request, const BodySink& sink, std::chrono::milliseconds patience,
           const std::stop_token& stop)
      : upload_(request.upload), sink_(sink), patience_(patience), stop_(stop), window_start_(Clock::now()) {}

  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self) {
    return static_cast<Transfer*>(self)->take_header({data, size}) ? size : 0;
  }
  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self) {
    return static_cast<Transfer*>(self)->take_body({data, size}) ? size : 0;
  }
  static std::size_t on_read(char* to, std::size_t, std::size_t size, void* self) {
    return static_cast<Transfer*>(self)->give(to, size);
  }
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->go_on() ? 0 : 1;
  }

  HttpAnswer answer;
  std::optional<Error> error;  // what made a callback end the transfer
  bool enough = false;         // the rest of a refusal is not read

 private:
  bool take_header(std::string_view line) {
    head_bytes_ += line.size();
    if (head_bytes_ > kMaxHeadBytes) {
      error = Error(Code::kResourceExhausted,
                    cat("the answer's headers are more than the ", kMaxHeadBytes, " bytes that are allowed"));
      return false;
    }
    answer.head.take_line(line);
    return true;
  }

  bool take_body(std::string_view bytes) {
    window_bytes_ += bytes.size();
    if (answer.head.status == 200 || answer.head.status == 206) {
      const auto begin = Clock::now();
      auto taken = sink_(answer.head, bytes);
      window_start_ += Clock::now() - begin;
      if (!taken) error = std::move(taken.error());
      return taken.has_value();
    }
    refusal_bytes_ += bytes.size();
    answer.refusal.append(bytes.substr(0, kMaxRefusalBytes - answer.refusal.size()));
    enough = refusal_bytes_ > kMaxRefusalRead;
    return !enough;
  }

  std::size_t give(char* to, std::size_t size) {
    const std::uint64_t left = upload_->size - std::min(upload_->size, given_bytes_);
    auto count = sys::pread(upload_->file, to, std::min<std::uint64_t>(size, left), given_bytes_);
    if (!count) {
      error = std::move(count.error());
      return CURL_READFUNC_ABORT;
    }
    given_bytes_ += *count;
    window_bytes_ += *count;
    return *count;
  }

  // libcurl asks at least once a second.
  bool go_on() {
    if (stop_.stop_requested()) {
      error = Error(Code::kCancelled, "the transfer was cancelled");
      return false;
    }
    const auto now = Clock::now();
    if (now - window_start_ < patience_) return true;
    if (window_bytes_ < kLeastBytesPerSecond * std::max<std::uint64_t>(1, patience_.count() / 1000)) {
      error = Error(Code::kDeadlineExceeded, cat("no progress for ", patience_.count() / 1000, " s"));
      return false;
    }
    window_start_ = now;
    window_bytes_ = 0;
    return true;
  }

  const std::optional<HttpRequest::Upload>& upload_;
  std::uint64_t given_bytes_ = 0;
  const BodySink& sink_;
  std::chrono::milliseconds patience_;
  const std::stop_token& stop_;
  Clock::time_point window_start_;
  std::uint64_t window_bytes_ = 0;
  std::size_t head_bytes_ = 0;
  std::size_t refusal_bytes_ = 0;
};

void prepare_libcurl() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (::curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) std::abort();  // out of memory, or no TLS at all
  });
}

Code code_of(CURLcode result) {
  switch (result) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CONNECT_ERROR:
      return Code::kUnavailable;
    case CURLE_OPERATION_TIMEDOUT:
      return Code::kDeadlineExceeded;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
      return Code::kPermissionDenied;
    case CURLE_OUT_OF_MEMORY:
      return Code::kResourceExhausted;
    default:
      return Code::kInternal;
  }
}

}  // namespace

struct HttpConnection::Handle {
  CURL* curl;
  char words[CURL_ERROR_SIZE] = {};

  Handle() : curl(::curl_easy_init()) {
    if (curl == nullptr) std::abort();  // out of memory
  }
  ~Handle() { ::curl_easy_cleanup(curl); }

  template <typename T>
  void set(CURLoption option, T value) {
    ::curl_easy_setopt(curl, option, value);
  }

  // For the last request, now or already before it.
  bool was_connected() const {
    curl_off_t time = 0;
    long sent = 0;
    ::curl_easy_getinfo(curl, CURLINFO_CONNECT_TIME_T, &time);
    ::curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &sent);
    return time != 0 || sent != 0;
  }

  void prepare(const HttpRequest& request, curl_slist* headers, Transfer& transfer) {
    ::curl_easy_reset(curl);  // the connection stays
    words[0] = '\0';
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_USERAGENT, "gantry");
    set(CURLOPT_BUFFERSIZE, kReceiveBuffer);
    set(CURLOPT_HTTPHEADER, headers);
    set(CURLOPT_ERRORBUFFER, words);
    set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
    set(CURLOPT_HEADERDATA, &transfer);
    set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
    set(CURLOPT_WRITEDATA, &transfer);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
    set(CURLOPT_XFERINFODATA, &transfer);
    if (request.upload) {
      set(CURLOPT_UPLOAD, 1L);
      set(CURLOPT_READFUNCTION, &Transfer::on_read);
      set(CURLOPT_READDATA, &transfer);
      set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.upload->size));
    } else if (request.method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
    } else if (!request.form.empty() || !request.method.empty()) {
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.form.size()));
      set(CURLOPT_POSTFIELDS, request.form.c_str());
    }
    if (!request.method.empty() && request.method != "HEAD") set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    if (const std::string& text = request.tls.authorities; !text.empty()) {
      // In the place of the system's one file; the system's folder of single ones is still looked into.
      curl_blob authorities{const_cast<char*>(text.data()), text.size(), CURL_BLOB_NOCOPY};
      set(CURLOPT_CAINFO_BLOB, &authorities);
    }
    if (!request.tls.certificate.empty()) {
      const TlsSettings& tls = request.tls;
      set(CURLOPT_SSLCERT, tls.certificate.c_str());
      set(CURLOPT_SSLKEY, (tls.key.empty() ? tls.certificate : tls.key).c_str());
    }
    if (!request.tls.verify) {
      set(CURLOPT_SSL_VERIFYPEER, 0L);
      set(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    set(CURLOPT_PROXY, request.proxy.c_str());
    set(CURLOPT_NOPROXY, "");
  }
};

HttpConnection::HttpConnection(std::chrono::milliseconds patience, std::stop_token stop)
    : patience_(patience), stop_(std::move(stop)) {
  prepare_libcurl();
  handle_ = std::make_unique<Handle>();
}
HttpConnection::~HttpConnection() = default;

Result<HttpAnswer> HttpConnection::perform(const HttpRequest& request, const BodySink& sink) {
  HeaderList headers;
  for (const std::string& header : request.headers) {
    curl_slist* longer = ::curl_slist_append(headers.get(), header.c_str());
    if (longer == nullptr) return fail(Code::kResourceExhausted, "out of memory");
    (void)headers.release();
    headers.reset(longer);
  }
  Transfer transfer(request, sink, patience_, stop_);
  handle_->prepare(request, headers.get(), transfer);
  const auto connect_limit =
      std::min(patience_, request.connect_limit.count() != 0 ? request.connect_limit : kConnectLimit);
  handle_->set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect_limit.count()));
  handle_->set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.limit.count()));
  const CURLcode result = ::curl_easy_perform(handle_->curl);
  const bool in_vain = (result == CURLE_OPERATION_TIMEDOUT || (transfer.error && transfer.error->is_deadline())) &&
                       !handle_->was_connected();
  if (in_vain) return fail(Code::kUnavailable, cat("no connection within ", connect_limit.count() / 1000, " s"));
  if (transfer.error) return std::unexpected(std::move(*transfer.error));
  if (result == CURLE_OK || transfer.enough) return std::move(transfer.answer);
  const char* words = handle_->words[0] != '\0' ? handle_->words : ::curl_easy_strerror(result);
  return fail(code_of(result), as_utf8(words, 300));
}

}  // namespace gantry::images
