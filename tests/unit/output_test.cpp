// What a writer may touch: its own names, and what was there when it began. Whose name is whose is seen from a mark and
// a lock.
#include <catch.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include <scratch.hpp>

#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/directory_lock.hpp>
#include <tinygpt/io/model_files.hpp>
#include <tinygpt/io/run_directory.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

void write_directory(const std::filesystem::path& target, std::string_view text) {
  AtomicDirectory directory(target);
  OutputFile file(directory.path("a"));
  file.write(text);
  file.finish();
  directory.commit();
}

std::size_t entries(const std::filesystem::path& directory) {
  const std::filesystem::directory_iterator begin(directory), end;
  return static_cast<std::size_t>(std::distance(begin, end));
}

bool is_there(const std::filesystem::path& path) {
  return std::filesystem::exists(std::filesystem::symlink_status(path));
}

}  // namespace

TEST_CASE("hidden names of others beside an output are never touched") {
  const ScratchDirectory scratch;
  const std::filesystem::path& home = scratch.path;
  const char* const others[] = {".project.old", ".model.old", ".model.tmp-1-0", ".model.tinygpt-tmp-notes",
                                ".model.tinygpt-tmp-1-0x", ".other.tinygpt-tmp-1-0", ".other.tinygpt-old",
                                "model.tinygpt-tmp-1-0", ".tinygpt-tmp-1-0", ".model.tinygpt-tmp-1-0.tar"};
  for (const char* const name : others) std::filesystem::create_directories(home / name / "deep");
  std::filesystem::create_directory_symlink(home / ".project.old", home / ".model.tinygpt-tmp-2-0");
  std::filesystem::create_directory(home / ".model.tinygpt-tmp-3-0");
  write_directory(home / "model", "one");
  write_directory(home / "model", "two");
  write_file_atomically(home / "file", "text");
  for (const char* const name : others) {
    CAPTURE(name);
    CHECK(is_there(home / name / "deep"));
  }
  CHECK(is_there(home / ".model.tinygpt-tmp-2-0"));
  CHECK_FALSE(is_there(home / ".model.tinygpt-tmp-3-0"));  // what a crash left
  CHECK(read_small_file(home / "model" / "a") == "two");
}

TEST_CASE("what came to a name in the meantime stays") {
  const ScratchDirectory scratch;
  const auto target = scratch.path / "model";
  SECTION("a directory where nothing was") {
    AtomicDirectory late(target);
    write_directory(target, "first");
    CHECK_THROWS_WITH(late.commit(), Contains("another process") && Contains("model"));
  }
  SECTION("a directory where an empty one was") {
    std::filesystem::create_directory(target);
    AtomicDirectory late(target);
    write_directory(target, "first");
    CHECK_THROWS_WITH(late.commit(), Contains("another process"));
  }
  SECTION("another directory than the one to be replaced") {
    write_directory(target, "zero");
    AtomicDirectory late(target);
    write_directory(target, "first");
    CHECK_THROWS_WITH(late.commit(), Contains("another process"));
  }
  CHECK(read_small_file(target / "a") == "first");
  CHECK(entries(scratch.path) == 1);
}

TEST_CASE("a file that came to a name in the meantime stays") {
  const ScratchDirectory scratch;
  {
    AtomicFile late(scratch.path / "file");
    late.write("late");
    scratch.file("file", "first");
    CHECK_THROWS_WITH(late.commit(), Contains("another process"));
  }
  CHECK(read_small_file(scratch.path / "file") == "first");
  CHECK(entries(scratch.path) == 1);
}

TEST_CASE("an existing file is never written over, nor one that a link leads to") {
  const ScratchDirectory scratch;
  scratch.file("victim", "precious");
  std::filesystem::create_symlink("victim", scratch.path / "link");
  CHECK_THROWS_WITH(OutputFile(scratch.path / "victim"), Contains("victim") && Contains("is there already"));
  CHECK_THROWS_WITH(OutputFile(scratch.path / "link"), Contains("link"));
  for (const char* const name : {"file.tmp", ".file.tmp"}) {
    std::filesystem::create_symlink("victim", scratch.path / name);
  }
  write_file_atomically(scratch.path / "file", "text");
  CHECK(read_small_file(scratch.path / "victim") == "precious");
}

TEST_CASE("a link as output stays and leads to the new directory, one that leads nowhere is refused") {
  const ScratchDirectory scratch;
  std::filesystem::create_directory(scratch.path / "other");
  std::filesystem::create_directory_symlink("other", scratch.path / "link");
  write_directory(scratch.path / "link", "new");
  CHECK(std::filesystem::is_symlink(scratch.path / "link"));
  CHECK(read_small_file(scratch.path / "other" / "a") == "new");
  std::filesystem::create_directory_symlink("nowhere", scratch.path / "dangling");
  CHECK_THROWS_WITH(AtomicDirectory(scratch.path / "dangling"), Contains("leads nowhere"));
  CHECK_THROWS_WITH(lock_directory(scratch.path / "dangling", "busy"), Contains("leads nowhere"));
  std::filesystem::create_directory_symlink("circle", scratch.path / "circle");
  CHECK_THROWS_WITH(AtomicDirectory(scratch.path / "circle"), Contains("circle"));
}

TEST_CASE("one at a time may make an output, whatever kind of output it is") {
  const ScratchDirectory scratch;
  const auto out = scratch.path / "out";
  {
    const OutputLock lock(out);
    CHECK_THROWS_WITH(OutputLock(out), Contains("another process"));
    CHECK_NOTHROW(OutputLock(scratch.path / "other"));
  }
  CHECK(entries(scratch.path) == 0);
  scratch.file(".out.tinygpt-lock", "");  // of one that was killed
  { const OutputLock lock(out); }
  CHECK(entries(scratch.path) == 0);
  const auto training = lock_directory(out, "busy");
  CHECK_THROWS_WITH(OutputLock(out), Contains("another process"));
  CHECK_THROWS_WITH(lock_directory(out, "busy"), Contains("busy"));
  CHECK(entries(scratch.path) == 1);
}

TEST_CASE("a directory that is locked is the one that has the name") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "run";
  const auto first = lock_directory(path, "busy");
  std::filesystem::rename(path, scratch.path / "away");
  CHECK_NOTHROW(lock_directory(path, "busy"));
}

TEST_CASE("what is no regular file is refused and not waited for") {
  const ScratchDirectory scratch;
  const auto pipe = scratch.path / "pipe", socket = scratch.path / "socket";
  REQUIRE(::mkfifo(pipe.c_str(), 0666) == 0);
  const Descriptor fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket.c_str(), sizeof address.sun_path - 1);
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  for (const auto& path : {pipe, socket, std::filesystem::path("/dev/zero")}) {
    CHECK_THROWS_WITH(read_small_file(path), Contains("not a regular file"));
  }
  CHECK_THROWS_WITH(read_small_file(scratch.path), Contains("is a directory"));
}

TEST_CASE("every changed bit of a manifest is damage, and a newer format is refused by name") {
  const ScratchDirectory scratch;
  const auto path = scratch.path / "model", manifest = path / "manifest.json";
  {
    ModelWriter writer(path);
    writer.text("config.json", "{}\n");
    writer.text("tokenizer.json", "{}\n");
    writer.text("trainer_state.json", "{}\n");
    writer.commit();
  }
  const std::string whole = read_small_file(manifest);
  const Json json = parse_json(whole, manifest);
  const auto put = [&](const std::string& text) { std::ofstream(manifest, std::ios::binary) << text; };
  int unseen = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string text = whole;
      text[i] = static_cast<char>(text[i] ^ (1 << bit));
      put(text);
      try {
        const ModelReader reader(path);
        for (const char* const name : {"config.json", "tokenizer.json", "trainer_state.json"}) reader.json(name);
        ++unseen;
        // Only white space, and the name of the checksum, may change without another meaning.
        Json same = parse_json(text, manifest);
        REQUIRE(same.at("files") == json.at("files"));
        REQUIRE(same.at("format_version") == 1);
      } catch (const DamagedFile&) {
      }  // any other exception fails the test
    }
  }
  CHECK(unseen < static_cast<int>(whole.size()));
  Json newer = json;
  newer["format_version"] = 2;
  newer["crc32c"] = model_files::manifest_crc(newer);
  put(json_text(newer));
  CHECK_THROWS_WITH(ModelReader(path), Contains("newer tinygpt"));
  Json old = json;
  old.erase("crc32c");
  put(json_text(old));
  CHECK_NOTHROW(ModelReader(path).json("tokenizer.json"));
  old["files"]["tokenizer.jsOn"] = old["files"]["tokenizer.json"];
  old["files"].erase("tokenizer.json");
  put(json_text(old));
  CHECK_THROWS_AS(ModelReader(path), DamagedFile);
}

TEST_CASE("a newest checkpoint that cannot be read for any kind of damage is passed over, other errors are not") {
  const ScratchDirectory scratch;
  for (const char* const name : {"step-000001", "step-000002"}) write_directory(scratch.path / name, "x");
  const auto newest_with = [&](const auto& fault) {
    int warned = 0;
    const auto load = [&](const std::filesystem::path& path) {
      if (path.filename() == "step-000002") throw fault;
      return path.filename().string();
    };
    const std::string name = load_newest(scratch.path, load, [&](const char*) { ++warned; });
    return name + (warned == 1 ? " warned" : "");
  };
  CHECK(newest_with(DamagedFile("damaged")) == "step-000001 warned");
  for (const int reason : {EIO, ENOENT, EISDIR}) {
    CHECK(newest_with(file_error("read", "a", reason)) == "step-000001 warned");
  }
  CHECK_THROWS_AS(newest_with(file_error("read", "a", EACCES)), Error);
  CHECK_THROWS_AS(newest_with(Error("of a newer tinygpt")), Error);
}

TEST_CASE("reads and writes end where they are asked to, and nothing of them stays") {
  const ScratchDirectory scratch;
  scratch.file("input", "abc");
  static bool wanted = false;
  const StopPoints points([] { return wanted; });
  CHECK(read_small_file(scratch.path / "input") == "abc");
  wanted = true;
  CHECK_THROWS_AS(read_small_file(scratch.path / "input"), Interrupted);
  CHECK_THROWS_AS(write_file_atomically(scratch.path / "output", "text"), Interrupted);
  CHECK_THROWS_AS(write_directory(scratch.path / "model", "text"), Interrupted);
  wanted = false;
  CHECK(entries(scratch.path) == 1);
}
