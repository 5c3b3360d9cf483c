#pragma once
#include <stddef.h>

/// The text of Sources/Decoder/Resources/kubernetes.schema.
const char *martlet_kubernetes_schema(void);
size_t martlet_kubernetes_schema_size(void);
