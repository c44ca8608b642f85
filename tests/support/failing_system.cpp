// Preloaded into a program: one system call on files under a folder fails.
//
//   FAIL_CALL=write FAIL_NUMBER=3 FAIL_ERRNO=28 FAIL_FOLDER=/out/ FAIL_COUNT_TO=FILE LD_PRELOAD=...
//
// The call of that number (from 1) on a path with FAIL_FOLDER in it fails with that errno. At its end the program
// writes the number of such calls to FAIL_COUNT_TO.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

std::atomic<long> calls;

bool is_in_folder(const char* path) {
  const char* folder = getenv("FAIL_FOLDER");
  return folder != nullptr && strstr(path, folder) != nullptr;
}

bool fails(const char* call, const char* path, int fd) {
  const char *wanted = getenv("FAIL_CALL"), *number = getenv("FAIL_NUMBER"), *error = getenv("FAIL_ERRNO");
  char link[64], target[4096];
  if (wanted == nullptr || strcmp(wanted, call) != 0) return false;
  if (path == nullptr) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0) return false;
    target[length] = 0;
    path = target;
  }
  if (!is_in_folder(path)) return false;
  if (calls.fetch_add(1) + 1 != (number == nullptr ? -1 : atol(number))) return false;
  errno = atoi(error);
  return true;
}

[[gnu::destructor]] void tell() {
  const char* to = getenv("FAIL_COUNT_TO");
  if (to == nullptr) return;
  FILE* file = fopen(to, "w");
  if (file == nullptr) return;
  fprintf(file, "%ld\n", calls.load());
  fclose(file);
}

#define NEXT(type, name, ...) reinterpret_cast<type (*)(__VA_ARGS__)>(dlsym(RTLD_NEXT, name))

int open_as(const char* name, const char* path, int flags, mode_t mode) {
  if ((flags & O_ACCMODE) != O_RDONLY && fails("open", path, -1)) return -1;
  return NEXT(int, name, const char*, int, mode_t)(path, flags, mode);
}

}  // namespace

extern "C" {

#define OPEN(name)                             \
  int name(const char* path, int flags, ...) { \
    va_list rest;                              \
    va_start(rest, flags);                     \
    mode_t mode = va_arg(rest, mode_t);        \
    va_end(rest);                              \
    return open_as(#name, path, flags, mode);  \
  }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void* bytes, size_t size) {
  if (fails("write", nullptr, fd)) return -1;
  return NEXT(ssize_t, "write", int, const void*, size_t)(fd, bytes, size);
}
int fsync(int fd) {
  if (fails("fsync", nullptr, fd)) return -1;
  return NEXT(int, "fsync", int)(fd);
}
int close(int fd) {
  const bool failed = fails("close", nullptr, fd);
  const int saved = errno;
  int result = NEXT(int, "close", int)(fd);  // Linux closes it whatever it returns
  if (!failed) return result;
  errno = saved;
  return -1;
}
int rename(const char* from, const char* to) noexcept {
  if (fails("rename", to, -1)) return -1;
  return NEXT(int, "rename", const char*, const char*)(from, to);
}
int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) noexcept {
  if (fails("rename", to, -1)) return -1;
  return NEXT(int, "renameat2", int, const char*, int, const char*, unsigned)(from_fd, from, to_fd, to, flags);
}
int mkdir(const char* path, mode_t mode) noexcept {
  if (fails("mkdir", path, -1)) return -1;
  return NEXT(int, "mkdir", const char*, mode_t)(path, mode);
}

}  // extern "C"
