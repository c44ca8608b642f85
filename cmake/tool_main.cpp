#include <tinygpt/cli/tool/main.hpp>

int main(int argc, char** argv) { return tinygpt::cli::tool::main(argc, argv); }
