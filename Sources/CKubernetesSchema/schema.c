// Kubernetes' messages and kinds as a table in memory: nothing is read, parsed or relocated at start.
#include "CKubernetesSchema.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const char table[] = {
#embed "../Decoder/Resources/kubernetes.schema"
};

const char *martlet_kubernetes_schema(void) { return table; }
size_t martlet_kubernetes_schema_size(void) { return sizeof table; }
