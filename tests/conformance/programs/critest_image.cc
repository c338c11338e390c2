// SPDX-License-Identifier: Apache-2.0
// The programs of the images that critest names, in their stead; the name that it is called by says which:
//   nginx...  a web server on port $PORT (80), by one process, that writes /var/run/nginx.pid. Called as
//             "nginx: master process" its command line is what critest looks for.
//   httpd     the same, with a line that says so on standard error
//   nonewprivs  prints its effective user id
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int listen_on(std::uint16_t port) {
  int one = 1;
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) die("bind");
  if (::listen(fd, 128) != 0) die("listen");
  return fd;
}

[[noreturn]] void serve(int listener) {
  constexpr std::string_view kAnswer =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
  for (;;) {
    int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    char request[4096];
    if (::recv(client, request, sizeof(request), 0) > 0) {
      ::send(client, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL);
      ::shutdown(client, SHUT_WR);
      // Until the other side is done: closed earlier, the answer may be lost to a reset.
      while (::recv(client, request, sizeof(request), 0) > 0) {}
    }
    ::close(client);
  }
}

}  // namespace

int main(int, char** argv) {
  std::string_view name = argv[0];
  name = name.substr(name.rfind('/') + 1);
  if (name == "nonewprivs") {
    std::printf("Effective uid: %d\n", static_cast<int>(::geteuid()));
    return 0;
  }
  bool is_nginx = name.starts_with("nginx");
  ::prctl(PR_SET_NAME, is_nginx ? "nginx" : "httpd");
  // As pid 1 it would not be ended by a signal without a handler.
  for (int number : {SIGTERM, SIGQUIT, SIGINT}) std::signal(number, [](int) { ::_exit(0); });
  const char* port = std::getenv("PORT");
  int listener = listen_on(static_cast<std::uint16_t>(port ? std::atoi(port) : 80));
  if (is_nginx) {
    std::FILE* file = std::fopen("/var/run/nginx.pid", "we");
    if (file == nullptr || std::fprintf(file, "%d\n", static_cast<int>(::getpid())) < 0 || std::fclose(file) != 0)
      die("/var/run/nginx.pid");
  } else {
    std::fputs("httpd -D FOREGROUND\n", stderr);
  }
  serve(listener);
}
