// LBW_TARGET_BEGIN("feature,...") ... LBW_TARGET_END: code between them may use instructions
// that the rest of the build may not. Include headers before, never in between.
#pragma once

#define LBW_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define LBW_TARGET_BEGIN(features) \
  LBW_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define LBW_TARGET_END LBW_PRAGMA(clang attribute pop)
#else
// gcc 12 sees uninitialized values inside of its own vector headers (its bug 105593).
#define LBW_TARGET_BEGIN(features)                              \
  LBW_PRAGMA(GCC diagnostic push)                               \
  LBW_PRAGMA(GCC diagnostic ignored "-Wuninitialized")          \
  LBW_PRAGMA(GCC diagnostic ignored "-Wmaybe-uninitialized")    \
  LBW_PRAGMA(GCC push_options)                                  \
  LBW_PRAGMA(GCC target(features))
#define LBW_TARGET_END        \
  LBW_PRAGMA(GCC pop_options) \
  LBW_PRAGMA(GCC diagnostic pop)
#endif
