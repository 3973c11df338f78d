// How threads share many problems: each takes the next ones, fewer at a time towards the end, so that all end together.
#pragma once
#include <atomic>

namespace DARKLANE_NAMESPACE {

// Calls make() once in every thread, and what it returns as (first, count), at most `most` problems at a time, `least`
// or less at the end.
template <class Make> void share(long problems, int threads, long most, long least, const Make& make) {
    const long enough = (problems + most - 1) / most;
    if (threads > enough) threads = static_cast<int>(enough);
    std::atomic<long> next{0};
    const auto take = [&] {
        auto work = make();
        long first = next.load();
        while (first < problems) {
            const long left = problems - first, even = left / (2L * threads);
            const long some = threads <= 1 || even >= most ? most : even > least ? even : least;
            const long count = some < left ? some : left;
            if (!next.compare_exchange_weak(first, first + count)) continue;
            work(first, static_cast<int>(count));
            first = next.load();
        }
    };
    if (threads <= 1) {
        take();
    } else {
#pragma omp parallel num_threads(threads)
        take();
    }
}

}  // namespace DARKLANE_NAMESPACE
