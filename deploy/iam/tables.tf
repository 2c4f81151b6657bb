# Permissions to publish lake tables, in addition to image-history.tf: a database in Glue, a folder of a bucket, and a
# bucket of S3 Tables if one is named.

variable "publisher" {
  description = "Name of the role that runs image-history and publishes."
  type        = string
}

variable "bucket" {
  description = "Bucket of publish[].properties.warehouse, or of delta+s3://."
  type        = string
}

variable "folder" {
  description = "Folder in it, without a slash at either end."
  type        = string
  default     = "lake"
}

variable "database" {
  description = "Database in Glue: the namespace of iceberg://glue/NAMESPACE."
  type        = string
  default     = "ml_inventory"
}

variable "table_bucket_arn" {
  description = "ARN of a bucket of S3 Tables, as in publish[].properties.warehouse; null for none."
  type        = string
  default     = null
}

data "aws_iam_policy_document" "publish" {
  statement {
    sid       = "Datasets"
    effect    = "Allow"
    actions   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${var.bucket}/${var.folder}/*"]
  }

  statement {
    sid       = "ListDataset1"
    effect    = "Allow"
    actions   = ["s3:ListBucket"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${var.bucket}"]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.folder}/*"]
    }
  }

  statement {
    sid    = "Tables"
    effect = "Allow"
    actions = [
      "glue:CreateDatabase",
      "glue:CreateTable",
      "glue:GetDatabase",
      "glue:GetTable",
      "glue:UpdateTable",
    ]
    resources = [
      "arn:${data.aws_partition.current.partition}:glue:*:${data.aws_caller_identity.current.account_id}:catalog",
      "arn:${data.aws_partition.current.partition}:glue:*:${data.aws_caller_identity.current.account_id}:database/${var.database}",
      "arn:${data.aws_partition.current.partition}:glue:*:${data.aws_caller_identity.current.account_id}:table/${var.database}/*",
    ]
  }
}

data "aws_iam_policy_document" "table_bucket" {
  count = var.table_bucket_arn == null ? 0 : 1

  statement {
    sid    = "TableBuckets"
    effect = "Allow"
    actions = [
      "s3tables:CreateNamespace",
      "s3tables:CreateTable",
      "s3tables:GetNamespace",
      "s3tables:GetTableBucket",
    ]
    resources = [var.table_bucket_arn]
  }

  statement {
    sid    = "TablesInBuckets"
    effect = "Allow"
    actions = [
      "s3tables:CreateTable",
      "s3tables:GetTableData",
      "s3tables:GetTableMetadataLocation",
      "s3tables:PutTableData",
      "s3tables:UpdateTableMetadataLocation",
    ]
    resources = ["${var.table_bucket_arn}/table/*"]
  }
}

resource "aws_iam_role_policy" "table_bucket" {
  count  = var.table_bucket_arn == null ? 0 : 1
  name   = "image-history-table-bucket"
  role   = var.publisher
  policy = data.aws_iam_policy_document.table_bucket[0].json
}

resource "aws_iam_role_policy" "publish" {
  name   = "image-history-tables"
  role   = var.publisher
  policy = data.aws_iam_policy_document.publish.json
}
