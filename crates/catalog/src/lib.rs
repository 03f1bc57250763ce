//! What is deployed: components, deployments, namespaces.
