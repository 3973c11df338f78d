// Executes one entry point of a .cu file: runner KERNEL BLOCKS THREADS FILE
// FILE holds the arguments: a letter (p buffer, i int32, f float32) each, a buffer with its size in bytes before its
// content. Every buffer gets memory of exactly its size, so that a sanitizer sees one byte too many; they are written
// back to FILE afterwards. An argument whose letter is not the parameter's type is an error.
#include "cuda_shim.hpp"

#include "source.inc"  // made with entries.inc by tests/kernels/gpu/shim.py: the .cu file and its entry points

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

struct Argument {
    char kind;
    std::size_t size;
    void* data;
};

[[noreturn]] static void fail(const char* what) {
    std::fprintf(stderr, "runner: %s\n", what);
    std::exit(2);
}

static std::vector<Argument> read(const char* path) {
    std::FILE* file = std::fopen(path, "rb");
    if (file == nullptr) fail("cannot open the arguments");
    std::vector<Argument> arguments;
    for (int kind; (kind = std::fgetc(file)) != EOF;) {
        std::uint64_t size = 4;
        if (kind == 'p' && std::fread(&size, sizeof size, 1, file) != 1) fail("a size is missing");
        void* data = std::malloc(size);
        if (size > 0 && std::fread(data, 1, size, file) != size) fail("a value is missing");
        arguments.push_back({static_cast<char>(kind), size, data});
    }
    std::fclose(file);
    return arguments;
}

static void write(const char* path, const std::vector<Argument>& arguments) {
    std::FILE* file = std::fopen(path, "wb");
    for (const Argument& a : arguments) {
        if (a.kind == 'p') std::fwrite(a.data, 1, a.size, file);
        std::free(a.data);
    }
    std::fclose(file);
}

template <class T> struct Take {
    static T from(const Argument& a) {
        static_assert(sizeof(T) == 4);
        if (a.kind != (static_cast<T>(0.5) == T(0) ? 'i' : 'f')) fail("a scalar has the wrong type");
        T value;
        std::memcpy(&value, a.data, sizeof value);
        return value;
    }
};

template <class T> struct Take<T*> {
    static T* from(const Argument& a) {
        if (a.kind != 'p') fail("a buffer is expected");
        return static_cast<T*>(a.data);
    }
};

template <class... P, std::size_t... I>
static void launch(void (*kernel)(P...), const std::vector<Argument>& a, std::index_sequence<I...>) {
    if (a.size() != sizeof...(P)) fail("wrong number of arguments");
    const std::tuple<P...> values{Take<P>::from(a[I])...};
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
        for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) kernel(std::get<I>(values)...);
    }
}

template <class... P> static void launch(void (*kernel)(P...), const std::vector<Argument>& arguments) {
    launch(kernel, arguments, std::index_sequence_for<P...>{});
}

int main(int count, char** words) {
    if (count != 5) fail("usage: runner KERNEL BLOCKS THREADS FILE");
    const std::string name = words[1];
    gridDim.x = static_cast<unsigned>(std::atoi(words[2]));
    blockDim.x = static_cast<unsigned>(std::atoi(words[3]));
    const std::vector<Argument> arguments = read(words[4]);
#define ENTRY(NAME) \
    if (name == #NAME) { \
        launch(NAME, arguments); \
        write(words[4], arguments); \
        return 0; \
    }
#include "entries.inc"
    fail("no such kernel");
}
